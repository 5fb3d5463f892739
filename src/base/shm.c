/*
 * shm: memory shared by fork, and the list of tables that the next binary may take over.
 *
 * Called by the master before the first fork, but for plain pages, of which each generation and
 *each worker has some. A table is a memfd: its descriptor can be inherited over exec, and says who
 *has the table locked. Descriptors and list are each process's own; in the table stands only what
 *is true for all processes. New memory is zeroed, which is the empty state of all that is kept in
 *it.
 *
 *	handed down ──head fits──> mapped, as it is
 *	     └───── another name, version, size or meaning ──> refused: a new one is made instead,
 *	                                                       and shm_refused tells why
 *
 * Whoever makes the tables then decides what a refusal means for the others. A failure is returned
 * with errno and leaves nothing behind. Nobody unmaps a table while a process that uses it lives.
 */
#include "base/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 16

struct table {
	struct table *next;
	char name[NAME_SIZE];
	void *p; /* NULL: handed down and not taken yet */
	size_t size;
	int fd;
};

static struct table *tables;
static uint64_t meaning_here;
static char refusal[160];

void *
shm_pages(size_t size)
{
	/* cppcheck-suppress invalidFunctionArg ; -1 is what MAP_ANONYMOUS takes */
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void
shm_pages_free(void *p, size_t size)
{
	munmap(p, size);
}

void
shm_meaning(uint64_t meaning)
{
	meaning_here = meaning;
}

static struct table *
table_new(const char *name, int fd)
{
	struct table *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	snprintf(t->name, sizeof t->name, "%s", name);
	t->fd = fd;
	t->next = tables;
	tables = t;
	return t;
}

static void
table_free(struct table *t)
{
	struct table **at = &tables;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	if (t->p)
		munmap(t->p, t->size);
	close(t->fd);
	free(t);
}

void
shm_inherit(const char *name, int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (!table_new(name, fd))
		close(fd);
}

/* FNV-1a */
static uint32_t
magic_of(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h;
}

static int
map(struct table *t, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);

	if (p == MAP_FAILED)
		return -1;
	t->p = p;
	t->size = size;
	return 0;
}

/* Does the table that was handed down fit? Else refusal says why not. */
static bool
fits(const struct table *t, uint32_t version, size_t size, bool any_size)
{
	struct shm_head head;
	struct stat st;

	if (fstat(t->fd, &st) != 0 || pread(t->fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
		head.magic != magic_of(t->name) || head.size != (uint64_t)st.st_size)
		snprintf(refusal, sizeof refusal, "what was handed down as table %s is none",
			t->name);
	else if (head.version != version)
		snprintf(refusal, sizeof refusal, "table %s has version %u, this program's has %u",
			t->name, head.version, version);
	else if (head.meaning != meaning_here)
		snprintf(refusal, sizeof refusal,
			"table %s was made by a program that counts other things", t->name);
	else if (head.size != size && !any_size)
		snprintf(refusal, sizeof refusal, "table %s has %llu bytes, this program's has %zu",
			t->name, (unsigned long long)head.size, size);
	else
		return true;
	return false;
}

/* What was handed down under that name, mapped; NULL when there is nothing that fits. */
static void *
adopt(const char *name, uint32_t version, size_t size, bool any_size)
{
	struct table *t = tables;
	struct stat st;

	while (t && (t->p || strcmp(t->name, name) != 0))
		t = t->next;
	if (!t || !fits(t, version, size, any_size) || fstat(t->fd, &st) != 0)
		return NULL;
	if (map(t, (size_t)st.st_size) == 0)
		return t->p;
	snprintf(refusal, sizeof refusal, "table %s cannot be mapped: %s", name, strerror(errno));
	return NULL;
}

void *
shm_map(const char *name, uint32_t version, size_t size, bool any_size)
{
	char label[NAME_SIZE + 16];
	void *p = adopt(name, version, size, any_size);
	struct table *t;
	int fd;

	if (p)
		return p;
	snprintf(label, sizeof label, "api-router-%s", name);
	fd = memfd_create(label, MFD_CLOEXEC);
	if (fd < 0)
		return NULL;
	t = table_new(name, fd);
	if (!t) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	if (ftruncate(fd, (off_t)size) != 0 || map(t, size) != 0) {
		int saved = errno;

		table_free(t);
		errno = saved;
		return NULL;
	}
	*(struct shm_head *)t->p = (struct shm_head){ magic_of(name), version, size, meaning_here };
	return t->p;
}

static struct table *
table_of(const void *p)
{
	struct table *t = tables;

	while (t->p != p)
		t = t->next;
	return t;
}

void
shm_unmap(void *table)
{
	if (table)
		table_free(table_of(table));
}

void
shm_refuse(void *table)
{
	struct table *t = table_of(table);

	snprintf(refusal, sizeof refusal, "what was handed down as table %s is none", t->name);
	table_free(t);
}

const char *
shm_refused(void)
{
	return refusal[0] != '\0' ? refusal : NULL;
}

void
shm_forget(void)
{
	struct table *t = tables;

	while (t) {
		struct table *next = t->next;

		if (!t->p)
			table_free(t);
		t = next;
	}
	refusal[0] = '\0';
}

void
shm_each(void (*tell)(void *ctx, const char *name, int fd), void *ctx)
{
	for (const struct table *t = tables; t; t = t->next)
		if (t->p)
			tell(ctx, t->name, t->fd);
}

static int
lock(const void *table, short how)
{
	struct flock whole = { .l_type = how, .l_whence = SEEK_SET };
	int result;

	do
		result = fcntl(table_of(table)->fd, F_SETLKW, &whole);
	while (result != 0 && errno == EINTR);
	return result;
}

int
shm_lock(const void *table)
{
	return lock(table, F_WRLCK);
}

void
shm_unlock(const void *table)
{
	lock(table, F_UNLCK);
}
