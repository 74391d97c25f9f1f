/* SPDX-License-Identifier: Apache-2.0 */
#include "links/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "links/named.h"
#include "links/program.h"

#define CONF_MAX (1u << 20)
#define END_MS 1000

static const char *const files[] = {"dnsmasq.conf", "hosts", "names", "leases", "pid"};

static int path_of(const char *folder, const char *file, char *path, size_t size, struct error *err)
{
	if (snprintf(path, size, "%s/%s", folder, file) >= (int)size)
		return error_set(err, ENAMETOOLONG, "%s: path too long", folder);
	return 0;
}

/* Whole or not at all, and for it to read, who is not root. */
static int write_file(const char *folder, const char *file, const char *text, struct error *err)
{
	char path[PATH_MAX], new[PATH_MAX];
	int fd, r = path_of(folder, file, path, sizeof path, err);

	if (!r)
		r = path_of(folder, "new", new, sizeof new, err);
	if (r)
		return r;
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", new, strerror(errno));
	r = fchmod(fd, 0644) ? -errno : io_write_all(fd, text, strlen(text));
	close(fd);
	if (!r && rename(new, path))
		r = -errno;
	if (r)
		unlink(new);
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

static void put_conf(FILE *out, const struct dns *dns)
{
	fprintf(out,
		"# Made by dachd for its network; it writes this anew.\n"
		"bind-dynamic\ninterface=%s\nexcept-interface=lo\nno-hosts\n"
		"pid-file=%s/pid\ndhcp-leasefile=%s/leases\n"
		"dhcp-hostsfile=%s/hosts\naddn-hosts=%s/names\n"
		"domain=%s\nlocal=/%s/\nexpand-hosts\ndhcp-authoritative\n"
		"quiet-dhcp\nquiet-dhcp6\nquiet-ra\n",
		dns->bridge, dns->folder, dns->folder, dns->folder, dns->folder, dns->domain,
		dns->domain);
	if (dns->network)
		fprintf(out, "dhcp-range=%s,static\n", dns->network);
	if (dns->network6)
		fprintf(out, "enable-ra\ndhcp-range=%s,ra-only\n", dns->network6);
	if (dns->no_router)
		fprintf(out, "dhcp-option=3\nra-param=%s,0,0\n", dns->bridge);
	named_put_conf(out, dns->bridge, dns->allow, dns->allows);
}

static void put_hosts(FILE *out, const struct dns *dns)
{
	for (unsigned i = 0; i < dns->hosts; i++)
		if (dns->host[i].address)
			fprintf(out, "%s,%s,%s\n", dns->host[i].mac, dns->host[i].address,
				dns->host[i].name);
}

static void put_names(FILE *out, const struct dns *dns)
{
	for (unsigned i = 0; i < dns->hosts; i++) {
		const struct dns_host *host = &dns->host[i];

		if (host->address)
			fprintf(out, "%s %s\n", host->address, host->name);
		if (host->address6)
			fprintf(out, "%s %s\n", host->address6, host->name);
	}
}

/* free() afterwards; NULL: out of memory. */
static char *render(const struct dns *dns, void (*put)(FILE *out, const struct dns *dns))
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put(out, dns);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

static int write_one(const struct dns *dns, const char *file,
	void (*put)(FILE *out, const struct dns *dns), struct error *err)
{
	char *text = render(dns, put);
	int r = text ? write_file(dns->folder, file, text, err) : error_nomem(err);

	free(text);
	return r;
}

/* It was started with this. */
static bool is_conf(const char *folder, const char *text)
{
	char path[PATH_MAX], *there = NULL;
	size_t size;
	int fd;
	bool same;

	if (path_of(folder, files[0], path, sizeof path, NULL) ||
		(fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return false;
	same = !io_read_file(fd, CONF_MAX, &there, &size) && size == strlen(text) &&
		!memcmp(there, text, size);
	close(fd);
	free(there);
	return same;
}

/* The process, if it is ours: one of that number may be another by now. */
static int find_process(const char *folder, pid_t *pid)
{
	char path[PATH_MAX], line[PATH_MAX + 64] = "", conf[PATH_MAX + 16];
	char number[16] = "";
	int fd, pidfd;
	ssize_t n;

	if (path_of(folder, "pid", path, sizeof path, NULL) ||
		(fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return -1;
	n = read(fd, number, sizeof number - 1);
	close(fd);
	*pid = n > 0 ? atoi(number) : 0;
	if (*pid <= 1 || (pidfd = (int)syscall(SYS_pidfd_open, *pid, 0)) < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/%d/cmdline", *pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : io_read_all(fd, line, sizeof line - 1);
	if (fd >= 0)
		close(fd);
	snprintf(conf, sizeof conf, "--conf-file=%s/%s", folder, files[0]);
	if (n > 0 && memmem(line, n, conf, strlen(conf)))
		return pidfd;
	close(pidfd);
	return -1;
}

static int tell(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

bool dns_runs(const char *folder)
{
	pid_t pid;
	int pidfd = find_process(folder, &pid);

	if (pidfd < 0)
		return false;
	close(pidfd);
	return true;
}

static int start(const struct dns *dns, struct error *err)
{
	char conf[PATH_MAX + 32];
	const char *const argv[] = {"dnsmasq", conf, NULL};
	struct error why = {""};
	int r;

	snprintf(conf, sizeof conf, "--conf-file=%s/%s", dns->folder, files[0]);
	r = program_run(argv, NULL, NULL, &why);
	return r ? error_set(err, -r, "%s: no addresses and names for its guests: %s", dns->bridge,
			   why.text)
		 : 0;
}

static void end_process(const char *folder)
{
	pid_t pid;
	int pidfd = find_process(folder, &pid);
	struct pollfd end = {pidfd, POLLIN, 0};

	if (pidfd < 0)
		return;
	/* Until then it has its ports, whatever has become of its files. */
	tell(pidfd, SIGTERM);
	if (!poll(&end, 1, END_MS) && !tell(pidfd, SIGKILL))
		poll(&end, 1, END_MS);
	close(pidfd);
}

bool dns_forget(const char *folder)
{
	pid_t pid;
	int pidfd = find_process(folder, &pid), r;

	if (pidfd < 0)
		return false;
	r = tell(pidfd, SIGHUP);
	close(pidfd);
	return !r;
}

static int serve(const struct dns *dns, const char *conf, struct error *err)
{
	int r = write_one(dns, "hosts", put_hosts, err);

	if (!r)
		r = write_one(dns, "names", put_names, err);
	if (r)
		return r;
	if (!is_conf(dns->folder, conf))
		end_process(dns->folder);
	else if (dns_forget(dns->folder))
		return 0;
	r = write_file(dns->folder, files[0], conf, err);
	return r ? r : start(dns, err);
}

int dns_serve(const struct dns *dns, struct error *err)
{
	char *conf = render(dns, put_conf);
	int r = conf ? serve(dns, conf, err) : error_nomem(err);

	free(conf);
	return r;
}

void dns_end(const char *folder)
{
	char path[PATH_MAX];

	end_process(folder);
	for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
		if (!path_of(folder, files[i], path, sizeof path, NULL))
			unlink(path);
	rmdir(folder);
}
