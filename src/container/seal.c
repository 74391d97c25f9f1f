/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that enter a privileged container can be found there by /proc, whose root may write to files of the host's root: what
 * it finds is a copy in memory, which nobody can change.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container/internal.h"

int seal_copy(int fd)
{
	int copy = memfd_create("sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	off_t at = 0;
	struct stat st;

	if (copy < 0 || fstat(fd, &st))
		return -errno;
	while (at < st.st_size && sendfile(copy, fd, &at, (size_t)(st.st_size - at)) > 0) {
	}
	if (at == st.st_size &&
		!fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return copy;
	close(copy);
	return -EIO;
}

int seal_ourselves(char *const argv[])
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
	    copy = fd < 0 ? -errno : seal_copy(fd);

	if (copy >= 0)
		fexecve(copy, argv, environ);
	return copy < 0 ? copy : -errno;
}
