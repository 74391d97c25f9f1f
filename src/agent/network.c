/* SPDX-License-Identifier: Apache-2.0 */
/* An interface's address and route, by the oldest of the kernel's ways: ioctl() (netdevice(7)). */
#include <arpa/inet.h>
#include <net/if.h>
#include <net/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"

static struct sockaddr inet(uint32_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	struct sockaddr any;

	memcpy(&any, &in, sizeof any);
	return any;
}

static bool bring_up(int fd, struct ifreq *request)
{
	if (ioctl(fd, SIOCGIFFLAGS, request))
		return false;
	request->ifr_flags |= IFF_UP | IFF_RUNNING;
	return !ioctl(fd, SIOCSIFFLAGS, request);
}

bool network_up(const char *name, uint32_t address, unsigned prefix, uint32_t gateway)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_flags = 0};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	bool good;

	if (fd < 0)
		return false;
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	request.ifr_addr = inet(address);
	good = !ioctl(fd, SIOCSIFADDR, &request);
	request.ifr_netmask = inet(~0u << (32 - prefix));
	good = good && !ioctl(fd, SIOCSIFNETMASK, &request);
	good = good && bring_up(fd, &request);
	if (good && gateway) {
		route.rt_dst = route.rt_genmask = inet(0);
		route.rt_gateway = inet(gateway);
		good = !ioctl(fd, SIOCADDRT, &route);
	}
	close(fd);
	return good;
}
