/*
 * conf_seen: the files that a reading of the configuration looked at, and whether they are still as
 * they were: for reload = "auto".
 *
 * conf_file notes each file when it opens it, with the stamp of the descriptor that it reads from:
 * so a change between the reading and the first look is seen as well. A file that could not be
 * opened is noted, too, since its coming is a change. The master looks at them by name now and
 * then. Without memory for the name of a file a change of it goes unnoticed.
 */
#include "config/conf_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static struct conf_stamp
stamp_of(const struct stat *st)
{
	return (struct conf_stamp){ .device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.modified_ns =
			(uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec,
		.changed_ns =
			(uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec };
}

static struct conf_seen *
room(struct conf_files *f)
{
	size_t cap = f->cap > 0 ? f->cap * 2 : 8;
	struct conf_seen *all;

	if (f->n < f->cap)
		return &f->all[f->n];
	all = mem_get(cap * sizeof *all);
	if (!all)
		return NULL;
	if (f->n > 0)
		memcpy(all, f->all, f->n * sizeof *all);
	mem_put(f->all, f->cap * sizeof *all);
	f->all = all;
	f->cap = cap;
	return &f->all[f->n];
}

void
conf_files_add(struct conf_files *f, const char *path, int fd)
{
	int error = errno;
	size_t size = strlen(path) + 1;
	struct conf_seen *seen = room(f);
	struct stat st;

	if (seen && (seen->path = mem_get(size))) {
		memcpy(seen->path, path, size);
		seen->stamp = (struct conf_stamp){ 0 };
		if (fd >= 0 && fstat(fd, &st) == 0)
			seen->stamp = stamp_of(&st);
		f->n++;
	}
	errno = error;
}

const char *
conf_files_changed(const struct conf_files *f, uint64_t *now)
{
	const char *found = NULL;

	*now = 0;
	for (size_t i = 0; i < f->n; i++) {
		const struct conf_seen *seen = &f->all[i];
		struct conf_stamp stamp = { 0 };
		struct stat st;
		uint64_t words[sizeof stamp / sizeof(uint64_t)];

		if (stat(seen->path, &st) == 0)
			stamp = stamp_of(&st);
		if (!found && memcmp(&stamp, &seen->stamp, sizeof stamp) != 0)
			found = seen->path;
		memcpy(words, &stamp, sizeof words);
		for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
			*now = (*now ^ words[k]) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	}
	return found;
}

void
conf_files_free(struct conf_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		mem_put(f->all[i].path, strlen(f->all[i].path) + 1);
	if (f->all)
		mem_put(f->all, f->cap * sizeof *f->all);
	*f = (struct conf_files){ 0 };
}
