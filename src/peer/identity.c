/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define FILE_MAX (16u << 10)
#define DIGEST (PEER_FINGERPRINT_LEN / 2)

static int failed(const char *what, int code, struct error *err)
{
	return error_set(err, code == GNUTLS_E_MEMORY_ERROR ? ENOMEM : EINVAL, "%s: %s", what,
		gnutls_strerror(code));
}

static void to_digits(const unsigned char *bytes, size_t count, char *text)
{
	for (size_t i = 0; i < count; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

int identity_fingerprint_of(const void *der, size_t size,
	char fingerprint[PEER_FINGERPRINT_LEN + 1])
{
	const gnutls_datum_t data = {(unsigned char *)(uintptr_t)der, (unsigned)size};
	unsigned char digest[DIGEST];
	size_t len = sizeof digest;

	if (gnutls_fingerprint(GNUTLS_DIG_SHA256, &data, digest, &len) || len != sizeof digest)
		return -EINVAL;
	to_digits(digest, sizeof digest, fingerprint);
	return 0;
}

int identity_fingerprint(const char *pem, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	struct error *err)
{
	const gnutls_datum_t data = {(unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem)};
	gnutls_datum_t der = {NULL, 0};
	gnutls_x509_crt_t certificate;
	int r = gnutls_x509_crt_init(&certificate);

	if (r)
		return failed("this host's certificate", r, err);
	r = gnutls_x509_crt_import(certificate, &data, GNUTLS_X509_FMT_PEM);
	if (!r)
		r = gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &der);
	if (!r)
		r = identity_fingerprint_of(der.data, der.size, fingerprint);
	gnutls_free(der.data);
	gnutls_x509_crt_deinit(certificate);
	return r ? failed("this host's certificate", r, err) : 0;
}

int identity_secret(char secret[PEER_SECRET_LEN + 1], struct error *err)
{
	unsigned char bytes[PEER_SECRET_LEN / 2];
	int r = gnutls_rnd(GNUTLS_RND_KEY, bytes, sizeof bytes);

	if (r)
		return failed("no random numbers", r, err);
	to_digits(bytes, sizeof bytes, secret);
	return 0;
}

/* It never ends: whom it is told to know decides, and forgets. */
static int sign(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key)
{
	unsigned char serial[16];
	int r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);

	serial[0] &= 0x7f;
	if (!r)
		r = gnutls_x509_crt_set_version(certificate, 3);
	if (!r)
		r = gnutls_x509_crt_set_serial(certificate, serial, sizeof serial);
	if (!r)
		r = gnutls_x509_crt_set_dn(certificate, "CN=dach", NULL);
	if (!r)
		r = gnutls_x509_crt_set_activation_time(certificate, 0);
	if (!r)
		r = gnutls_x509_crt_set_expiration_time(certificate, (time_t)-1);
	if (!r)
		r = gnutls_x509_crt_set_key(certificate, key);
	return r ? r : gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0);
}

static int make(char **pem, struct error *err)
{
	gnutls_datum_t key_text = {NULL, 0}, certificate_text = {NULL, 0};
	gnutls_x509_privkey_t key = NULL;
	gnutls_x509_crt_t certificate = NULL;
	int r = gnutls_x509_privkey_init(&key);

	if (!r)
		r = gnutls_x509_crt_init(&certificate);
	if (!r)
		r = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (!r)
		r = sign(certificate, key);
	if (!r)
		r = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_text);
	if (!r)
		r = gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &certificate_text);
	*pem = NULL;
	if (!r &&
		asprintf(pem, "%.*s%.*s", (int)key_text.size, key_text.data,
			(int)certificate_text.size, certificate_text.data) < 0) {
		*pem = NULL;
		r = GNUTLS_E_MEMORY_ERROR;
	}
	if (key_text.data)
		gnutls_memset(key_text.data, 0, key_text.size);
	gnutls_free(key_text.data);
	gnutls_free(certificate_text.data);
	gnutls_x509_crt_deinit(certificate);
	gnutls_x509_privkey_deinit(key);
	return r ? failed("no key for this host", r, err) : 0;
}

/* Whole, or not at all. */
static int keep(const char *path, const char *pem, struct error *err)
{
	char other[PATH_MAX];
	int fd, r;

	if (snprintf(other, sizeof other, "%s.new", path) >= (int)sizeof other)
		return error_set(err, ENAMETOOLONG, "%s: path too long", path);
	fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : io_write_all(fd, pem, strlen(pem));
	if (!r && fsync(fd))
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (!r && rename(other, path))
		r = -errno;
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

int identity_open(const char *path, char **pem, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;
	size_t size;

	if (fd < 0 && errno == ENOENT) {
		r = make(pem, err);
		if (!r && (r = keep(path, *pem, err))) {
			free(*pem);
			*pem = NULL;
		}
		return r;
	}
	*pem = NULL;
	r = fd < 0 ? -errno : io_read_file(fd, FILE_MAX, pem, &size);
	if (fd >= 0)
		close(fd);
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}
