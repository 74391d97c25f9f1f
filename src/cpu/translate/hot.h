/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included by the .c files that run while the guest's vector state is in the registers: they are listed in
 * translate_hot (meson.build), which compiles them for general registers only, and call no libc, no callback
 * and no file of cold.h before vcpu_vectors_save(). tests/layers holds their symbols against that.
 */
#ifdef __SSE__
#error "the guest's vector state is live here: list this file in translate_hot"
#endif
