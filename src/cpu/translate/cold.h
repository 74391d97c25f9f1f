/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included by the .c files that run with vectors saved, or before the first vCPU and after the last: they may
 * use libc and vector registers, and are listed in translate_sources (meson.build).
 */
#ifndef __SSE__
#error "compiled for general registers only: list this file in translate_sources, or include hot.h"
#endif
