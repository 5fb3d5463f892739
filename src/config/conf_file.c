/*
 * conf_file: the files of a configuration in memory.
 *
 * Called by conf and by the scanner, which comes here for each @include. A file is read whole
 * before anything of it is looked at, so that what was checked is what is used. It must be a
 * regular file (the first may be a pipe, for a configuration made on the fly) of at most
 * CONF_FILE_MOST bytes, and all of a configuration together CONF_TEXT_MOST. What fails is told at
 * the line that named the file.
 *
 * The bytes may hold secrets. They are wiped before they are freed, also where reading failed
 * half-way, and never copied by growing.
 */
#include "config/conf_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/secret.h"

void
conf_tell(struct conf_teller *t, const char *file, unsigned line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	t->n++;
	t->report(t->ctx, file, line, text);
}

static void
file_free(struct conf_file *f)
{
	if (f->p) {
		secret_wipe(f->p, f->len);
		mem_put(f->p, f->size);
	}
	if (f->name)
		mem_put(f->name, strlen(f->name) + 1);
	mem_put(f, sizeof *f);
}

static struct conf_file *
file_new(struct conf_text *t, const char *name, size_t size)
{
	size_t name_size = strlen(name) + 1;
	struct conf_file *f = mem_get(sizeof *f);

	if (!f)
		goto fail;
	*f = (struct conf_file){ .name = mem_get(name_size), .p = mem_get(size), .size = size };
	if (!f->name || !f->p)
		goto fail;
	memcpy(f->name, name, name_size);
	return f;
fail:
	if (f) {
		mem_put(f->name, name_size);
		f->name = NULL;
		file_free(f);
	}
	conf_tell(t->teller, name, 0, "out of memory");
	return NULL;
}

static int
read_all(int fd, struct conf_file *f)
{
	while (f->len < f->size) {
		ssize_t n = read(fd, f->p + f->len, f->size - f->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			return 0;
		f->len += (size_t)n;
	}
	errno = EFBIG; /* there is room for one byte more than a file may have */
	return -1;
}

static struct conf_file *
keep(struct conf_text *t, struct conf_file *f)
{
	f->next = t->files;
	t->files = f;
	t->total += f->len;
	t->n_files++;
	return f;
}

/* The reason for a file that cannot be read, at the line that names it. */
static void
tell_unread(struct conf_text *t, const char *name, const char *from, unsigned line, int error)
{
	const char *why = error == EFBIG ? "larger than a configuration can be" : strerror(error);

	if (from)
		conf_tell(t->teller, from, line, "@include: cannot read %s: %s%s", name, why,
			strchr(name, '*') ? "; a * is no pattern here: name each file" : "");
	else
		conf_tell(t->teller, name, 0, "cannot read the configuration: %s%s", why,
			error == ENOENT           ? "; the option -c names another"
				: error == EACCES ? "; run as its owner or as root"
						  : "");
}

struct conf_file *
conf_file_read(struct conf_text *t, const char *name, const char *from, unsigned line)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | (from ? O_NONBLOCK : 0));
	struct conf_file *f = NULL;
	struct stat st;

	if (t->seen)
		conf_files_add(t->seen, name, fd); /* leaves errno as it is */
	if (fd < 0 || fstat(fd, &st) < 0) {
		tell_unread(t, name, from, line, errno);
		goto out;
	}
	if (!S_ISREG(st.st_mode) && (from || !S_ISFIFO(st.st_mode))) {
		tell_unread(t, name, from, line, S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
		goto out;
	}
	if (S_ISREG(st.st_mode) && st.st_size > CONF_FILE_MOST) {
		tell_unread(t, name, from, line, EFBIG);
		goto out;
	}
	f = file_new(t, name, (S_ISREG(st.st_mode) ? (size_t)st.st_size : CONF_FILE_MOST) + 1);
	if (f && read_all(fd, f) < 0) {
		tell_unread(t, name, from, line, errno);
		file_free(f);
		f = NULL;
	}
	if (f && (t->total + f->len > CONF_TEXT_MOST || t->n_files == CONF_FILES_MOST)) {
		tell_unread(t, name, from, line, EFBIG);
		file_free(f);
		f = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	return f ? keep(t, f) : NULL;
}

struct conf_file *
conf_file_of(struct conf_text *t, const char *name, struct str text)
{
	struct conf_file *f;

	if (text.len > CONF_FILE_MOST) {
		tell_unread(t, name, NULL, 0, EFBIG);
		return NULL;
	}
	f = file_new(t, name, text.len + 1);
	if (!f)
		return NULL;
	if (text.len > 0)
		memcpy(f->p, text.p, text.len);
	f->len = text.len;
	return keep(t, f);
}

struct str
conf_file_beside(struct arena *a, const char *from, struct str path)
{
	const char *slash = strrchr(from, '/');

	if (!slash || (path.len > 0 && path.p[0] == '/'))
		return arena_copy(a, path);
	return arena_printf(a, "%.*s%.*s", (int)(slash + 1 - from), from, STR_ARG(path));
}

void
conf_text_init(struct conf_text *t, struct conf_teller *teller)
{
	*t = (struct conf_text){ .teller = teller };
	arena_init(&t->arena, 0);
}

void
conf_text_free(struct conf_text *t)
{
	struct conf_file *f, *next;

	for (f = t->files; f; f = next) {
		next = f->next;
		file_free(f);
	}
	arena_free(&t->arena);
	buf_free(&t->out);
}
