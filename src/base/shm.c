/*
 * shm: memory shared by fork.
 *
 * Called by the master before the first fork only. A failure is returned with errno and leaves
 * nothing behind; the start then fails. The mapping is a memfd, so that its descriptor can be
 * handed to another binary; it is zeroed, which is the empty state of all that is kept in it.
 * Nobody unmaps it while a process that uses it lives.
 */
#include "base/shm.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

void *
shm_map(const char *name, size_t size, int *fd)
{
	void *p;
	int saved;

	*fd = memfd_create(name, MFD_CLOEXEC);
	if (*fd < 0)
		return NULL;
	if (ftruncate(*fd, (off_t)size) == 0) {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
		if (p != MAP_FAILED)
			return p;
	}
	saved = errno;
	close(*fd);
	*fd = -1;
	errno = saved;
	return NULL;
}

void
shm_unmap(void *p, size_t size, int fd)
{
	munmap(p, size);
	close(fd);
}
