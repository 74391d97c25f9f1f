/* SPDX-License-Identifier: Apache-2.0 */
/* The challenge of VNC authentication (RFC 6143, 7.2.2): DES, with each byte of the password turned round. */
#include <nettle/des.h>
#include <string.h>

#include "vnc/internal.h"

void vnc_password_answer(const char *password, const uint8_t challenge[VNC_CHALLENGE],
	uint8_t answer[VNC_CHALLENGE])
{
	uint8_t key[DES_KEY_SIZE] = {0};
	struct des_ctx des;

	for (unsigned i = 0; i < DES_KEY_SIZE && password[i]; i++)
		for (unsigned bit = 0; bit < 8; bit++)
			key[i] |= ((uint8_t)password[i] >> bit & 1) << (7 - bit);
	/* A weak key is as good as the password: its return value says no more. */
	des_set_key(&des, key);
	des_encrypt(&des, VNC_CHALLENGE, answer, challenge);
}
