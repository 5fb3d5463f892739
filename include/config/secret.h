/*
 * secret: values that must not leak: from the environment, a file or the configuration text itself.
 */
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include "base/mem.h"

/*
 * Read what `spec` names: "env:NAME" (copied once into memory excluded from core dumps; the
 * process's own environment is blanked, later calls read the copy), "file:/path" (first line,
 * trimmed; *warning is set when others may read it), or the secret itself. The value is copied into
 * `a`. 0; 1 when the variable is not set or the file is empty (value is empty); -1 with a sentence
 * in err.
 */
int secret_read(struct str spec, struct arena *a, struct str *value, const char **warning,
	char *err, size_t err_size);
/* Copy the value of a variable, if it has one, and blank it, as secret_read does. */
void secret_take(struct str name);
/* The name of each variable that was copied. */
void secret_each(void (*tell)(void *ctx, struct str name), void *ctx);
/* The environment with the values that were blanked, for execve. */
struct secret_environment {
	char **list;
	char *text;
	size_t size;
};
/* `more`, "NAME=value", and all variables that are wanted. 0, or -1 without memory. */
int secret_environment(struct secret_environment *e, bool (*wanted)(struct str name), char *more);
void secret_environment_wipe(struct secret_environment *e);
/* How to name the secret in a message without showing it: "env:NAME", "file:/path" or "a literal".
 */
struct str secret_name(struct str spec);
#define SECRET_HASH 32
/* SHA-256 of it. */
void secret_hash(struct str value, uint8_t out[SECRET_HASH]);
/* Are the hashes the same? The time that it takes does not depend on them. */
bool secret_hash_eq(const uint8_t a[SECRET_HASH], const uint8_t b[SECRET_HASH]);
/* `n` bytes that nobody can guess, at most 256. They may not be had only on a broken system: the
 * process ends then. */
void secret_random(uint8_t *out, size_t n);
/* Overwrite so that the compiler keeps it. */
void secret_wipe(void *p, size_t len);

#endif
