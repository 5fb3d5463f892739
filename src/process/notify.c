/*
 * notify: what a service manager is told.
 *
 * The protocol of sd_notify(3), which is a datagram, without its library: $NOTIFY_SOCKET is the
 * path of a unix socket, or its abstract name behind an @. A socket is made for each message, since
 * there are few; nothing is kept open, and nothing is waited for: a manager that does not read
 * loses the message.
 *
 * With $WATCHDOG_USEC the manager wants to hear from us within each such time, and does when half
 * of it is over; $WATCHDOG_PID says whom he means, unless it is not set.
 *
 * Called by master, which knows what to say. A failure is logged and costs the message alone.
 */
#include "process/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

static void
open_watchdog(struct notify *n)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t us, whom;
	if (usec == NULL || str_u64(str_of(usec), &us) != 0)
		return;
	if (pid != NULL && (str_u64(str_of(pid), &whom) != 0 || whom != (uint64_t)getpid()))
		return;
	n->watchdog_ms = us / 1000;
}

void
notify_open(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path == NULL ? 0 : strlen(path);
	*n = (struct notify){ .to.sun_family = AF_UNIX };
	if (len == 0)
		return;
	if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof n->to.sun_path) {
		log_warn("NOTIFY_SOCKET is neither a path nor a name behind @: %s", path);
		return;
	}
	memcpy(n->to.sun_path, path, len);
	if (path[0] == '@')
		n->to.sun_path[0] = '\0';
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	open_watchdog(n);
}

void
notify_send(const struct notify *n, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	if (n->to_len == 0 || n->quiet)
		return;
	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (len >= (int)sizeof text)
		len = sizeof text - 1;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
		sendto(fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT,
			(const struct sockaddr *)&n->to, n->to_len) != len)
		log_warn("cannot tell NOTIFY_SOCKET \"%.*s\": %s", (int)strcspn(text, "\n"), text,
			strerror(errno));
	if (fd >= 0)
		close(fd);
}

void
notify_alive(struct notify *n, uint64_t now_ms)
{
	if (n->watchdog_ms == 0 || n->quiet || now_ms - n->barked_ms < n->watchdog_ms / 2)
		return;
	n->barked_ms = now_ms;
	notify_send(n, "WATCHDOG=1");
}
