/*
 * secret: values that must not leak.
 *
 * Called by conf for each api_key. A value from the environment is copied once into a page of its
 * own that core dumps leave out, and the process's own environment, which every process of the same
 * user can read in /proc, is blanked where it stands; a later reading (HUP) finds the copy. The
 * copies live as long as the process: there are as many as there are names of variables. A program
 * that is executed in our place gets the environment as it was. What fails
 * is said in a sentence that names the variable or the file, never the value.
 */
#include "config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"

#define ENV STR("env:")
#define FILE_ STR("file:")

/* Most bytes of a secret that stands in a file. */
#define FILE_MOST 16384

struct copy {
	struct copy *next;
	size_t name_len, value_len;
	char bytes[]; /* name, value */
};

static struct copy *copies;

void
secret_wipe(void *p, size_t len)
{
	if (len > 0)
		explicit_bzero(p, len);
}

void
secret_hash(struct str value, uint8_t out[SECRET_HASH])
{
	sha256(value, out);
}

bool
secret_hash_eq(const uint8_t a[SECRET_HASH], const uint8_t b[SECRET_HASH])
{
	return CRYPTO_memcmp(a, b, SECRET_HASH) == 0;
}

void
secret_random(uint8_t *out, size_t n)
{
	if (getrandom(out, n, 0) == (ssize_t)n)
		return;
	fputs("api-router: the system has no random bytes\n", stderr);
	exit(EXIT_FAILURE);
}

static const struct copy *
copy_find(struct str name)
{
	const struct copy *c;

	for (c = copies; c; c = c->next) {
		if (str_eq(name, (struct str){ c->bytes, c->name_len }))
			return c;
	}
	return NULL;
}

/* Move the value of a variable out of the environment. NULL when it is not set or is empty, or with
 * *failed. */
static const struct copy *
copy_take(struct str name, char *value, bool *failed)
{
	size_t len = strlen(value), size = sizeof(struct copy) + name.len + len;
	struct copy *c;

	if (len == 0)
		return NULL;
	/* cppcheck-suppress invalidFunctionArg ; -1 is what MAP_ANONYMOUS takes */
	c = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED) {
		*failed = true;
		return NULL;
	}
	madvise(c, size, MADV_DONTDUMP);
	*c = (struct copy){ .next = copies, .name_len = name.len, .value_len = len };
	memcpy(c->bytes, name.p, name.len);
	memcpy(c->bytes + name.len, value, len);
	secret_wipe(value, len);
	copies = c;
	return c;
}

void
secret_take(struct str name)
{
	bool failed = false;

	for (char **at = environ; *at; at++) {
		if (strncmp(*at, name.p, name.len) == 0 && (*at)[name.len] == '=' &&
			!copy_find(name))
			copy_take(name, *at + name.len + 1, &failed);
	}
}

void
secret_each(void (*tell)(void *ctx, struct str name), void *ctx)
{
	for (const struct copy *c = copies; c; c = c->next)
		tell(ctx, (struct str){ c->bytes, c->name_len });
}

static struct str
variable_name(const char *variable)
{
	struct str s = str_of(variable);

	return str_head(s, str_index(s, '='));
}

/* Bytes of a variable as it was, with its NUL. */
static size_t
variable_size(const char *variable)
{
	struct str name = variable_name(variable);
	const struct copy *c = copy_find(name);

	return c ? name.len + 1 + c->value_len + 1 : strlen(variable) + 1;
}

/* The variable as it was, at `out`; where the next one begins. */
static char *
variable_write(const char *variable, char *out)
{
	struct str name = variable_name(variable);
	const struct copy *c = copy_find(name);
	size_t len = c ? name.len + 1 : strlen(variable);

	memcpy(out, variable, len);
	if (c) {
		memcpy(out + len, c->bytes + c->name_len, c->value_len);
		len += c->value_len;
	}
	out[len] = '\0';
	return out + len + 1;
}

int
secret_environment(struct secret_environment *e, bool (*wanted)(struct str name), char *more)
{
	size_t n = 0, size = 0;
	char *at;

	for (char **v = environ; *v; v++, n++)
		size += variable_size(*v);
	*e = (struct secret_environment){ .size = size, .text = malloc(size + 1) };
	e->list = malloc((n + 2) * sizeof *e->list);
	if (!e->text || !e->list) {
		secret_environment_wipe(e);
		return -1;
	}
	n = 0;
	at = e->text;
	e->list[n++] = more;
	for (char **v = environ; *v; v++) {
		if (!wanted(variable_name(*v)))
			continue;
		e->list[n++] = at;
		at = variable_write(*v, at);
	}
	e->list[n] = NULL;
	return 0;
}

void
secret_environment_wipe(struct secret_environment *e)
{
	if (e->text)
		secret_wipe(e->text, e->size);
	free(e->text);
	free(e->list);
	*e = (struct secret_environment){ 0 };
}

static bool
is_variable(struct str name)
{
	return name.len > 0 && str_index(name, '=') == name.len &&
		str_index(name, '\0') == name.len;
}

static int
read_variable(struct str name, struct arena *a, struct str *value, char *err, size_t err_size)
{
	const struct copy *c = copy_find(name);
	bool failed = false;

	if (!is_variable(name)) {
		snprintf(err, err_size, "env: wants the name of an environment variable");
		return -1;
	}
	if (!c) {
		struct str text = arena_copy(a, name);
		char *found = text.p ? getenv(text.p) : NULL;

		failed = !text.p;
		c = found ? copy_take(name, found, &failed) : NULL;
	}
	if (c) {
		*value = arena_copy(a, (struct str){ c->bytes + c->name_len, c->value_len });
		failed = !value->p;
	}
	if (failed) {
		snprintf(err, err_size, "no memory for the value of env:%.*s", STR_ARG(name));
		return -1;
	}
	return c ? 0 : 1;
}

/* Up to `size` bytes of a regular file. How many, or -1 with errno. */
static ssize_t
read_some(const char *path, char *out, size_t size, bool *open_to_others)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t len = 0;
	struct stat st;
	ssize_t n = -1;

	if (fd < 0 || fstat(fd, &st) < 0)
		goto out;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		goto out;
	}
	*open_to_others = st.st_mode & S_IROTH;
	do {
		n = read(fd, out + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	} while (len < size && (n > 0 || (n < 0 && errno == EINTR)));
out:
	if (fd >= 0) {
		int error = errno;

		close(fd);
		errno = error;
	}
	return n < 0 ? -1 : (ssize_t)len;
}

static struct str
first_line(struct str text)
{
	text = str_head(text, str_index(text, '\n'));
	if (text.len > 0 && text.p[text.len - 1] == '\r')
		text.len--;
	return str_trim(text);
}

static int
read_file(struct str path, struct arena *a, struct str *value, const char **warning, char *err,
	size_t err_size)
{
	char text[FILE_MOST];
	bool open_to_others = false, cut;
	struct str name = arena_copy(a, path), line;
	ssize_t n;

	if (path.len == 0 || path.p[0] != '/' || !name.p) {
		snprintf(err, err_size,
			name.p ? "file: wants an absolute path" : "no memory for a path");
		return -1;
	}
	n = read_some(name.p, text, sizeof text, &open_to_others);
	if (n < 0) {
		snprintf(err, err_size, "cannot read %s: %s", name.p, strerror(errno));
		return -1;
	}
	line = (struct str){ text, (size_t)n };
	cut = str_index(line, '\n') == sizeof text;
	line = first_line(line);
	*value = arena_copy(a, line);
	secret_wipe(text, (size_t)n);
	if (open_to_others)
		*warning = "the file can be read by every user of this machine: chmod o-r";
	if (cut || !value->p) {
		snprintf(err, err_size,
			value->p ? "the first line of %s is too long" : "no memory for %s", name.p);
		return -1;
	}
	return line.len > 0 ? 0 : 1;
}

int
secret_read(struct str spec, struct arena *a, struct str *value, const char **warning, char *err,
	size_t err_size)
{
	*value = (struct str){ "", 0 };
	*warning = NULL;
	if (str_starts(spec, ENV))
		return read_variable(str_skip(spec, ENV.len), a, value, err, err_size);
	if (str_starts(spec, FILE_))
		return read_file(str_skip(spec, FILE_.len), a, value, warning, err, err_size);
	*value = arena_copy(a, spec);
	if (!value->p) {
		snprintf(err, err_size, "no memory for a secret");
		return -1;
	}
	return spec.len > 0 ? 0 : 1;
}

struct str
secret_name(struct str spec)
{
	return str_starts(spec, ENV) || str_starts(spec, FILE_) ? spec : STR("a literal");
}
