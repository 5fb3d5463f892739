/*
 * hints: where something may have come, told by the kernel without anybody waiting there: it queues
 * a signal to this process for each event at a socket, and they are read from one descriptor. A
 * hint means "look there" and no more: what it told of may have been read meanwhile, and the
 * descriptor may be another's by now.
 */
#ifndef NET_HINTS_H
#define NET_HINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The descriptor to read them from, readable when there are some; -1 with errno where the kernel
 * has none. Once in a process, after its privileges are dropped. SIGIO and SIGRTMIN stay blocked.
 */
int hints_open(void);

/* From now on for `fd`, which no other process has open: data, the end, a break. Not for what is
 * there already, and for room to write only with some sockets. 0, or -1 with errno. */
int hints_on(int fd);
/* No more of them; what is queued stays. 0, or -1 with errno. */
int hints_off(int fd);

/* When clock_ms will be `at_ms`, not 0, the descriptor is readable in any case, once; or now, when
 * that is past. An alarm set before is not any more, but may be told of. 0, or -1 where there is
 * none; then nothing has changed. */
int hints_alarm(uint64_t at_ms);

/* Take up to `most`: their descriptors, as often as there were events. `*lost` is set when the
 * queue was full and some found no place in it, `*alarm` when that was among them. */
size_t hints_read(int hints, int *fds, size_t most, bool *lost, bool *alarm);

#endif
