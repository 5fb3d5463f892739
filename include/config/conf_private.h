/*
 * conf_private: what the files that read the configuration share: the text with its places, the
 * table of names, typed reading. Nothing outside src/config uses it but the tests.
 */
#ifndef CONFIG_CONF_PRIVATE_H
#define CONFIG_CONF_PRIVATE_H

#include <libconfig.h>

#include "base/buf.h"
#include "config/conf.h"

/* -- The text: conf_file.c, conf_scan.c, conf_text.c -- */

enum {
	CONF_FILE_MOST = 1 << 20, /* bytes of one file */
	CONF_TEXT_MOST = 4 << 20, /* of all files */
	CONF_FILES_MOST = 256,
	CONF_INCLUDES_MOST = 10, /* files inside each other */
	CONF_DEPTH_MOST = 16,    /* brackets inside each other */
	CONF_GROUP_MOST = 1000,  /* settings of a group */
	CONF_LIST_MOST = 10000,  /* elements of a list */
};

/* Errors are told as they are found; n counts them. */
struct conf_teller {
	conf_report *report;
	void *ctx;
	unsigned n;
};

/* A file in memory. The bytes are wiped before they are given back: they may hold secrets. */
struct conf_file {
	struct conf_file *next; /* of all files of this text */
	char *name;             /* as messages name it */
	char *p;
	size_t len, size; /* len is what was read, size what was allocated */
};

/*
 * Where a setting stands, for messages. libconfig's own line is that of a later token where a value
 * is a string.
 */
struct conf_place {
	const char *file;
	unsigned line;
	struct str text;           /* of a string, which libconfig does not see */
	struct str name;           /* as written; both in the file's bytes */
	bool hidden;               /* its value is never shown */
	struct conf_place *next;   /* the one after it in the text */
	struct conf_place *before; /* the setting before it in the same group */
};

/*
 * The text of all files, checked and written again for libconfig: includes in their place, strings
 * left empty, numbers in a form that does not wrap, arrays as lists.
 */
struct conf_text {
	struct conf_teller *teller;
	struct conf_file *files;
	size_t total, n_files;           /* bytes of all files, and their number */
	struct conf_files *seen;         /* to be told of each; NULL: nobody */
	struct arena arena;              /* of places */
	struct conf_place *first, *last; /* of each setting and element, in the order of the text */
	struct buf out;                  /* what libconfig reads, NUL at its end */
};

/*
 * Read the file `name`, or take `text` under that name. NULL after a report at `line` of `from`
 * (NULL: the file was named on the command line).
 */
struct conf_file *conf_file_read(struct conf_text *t, const char *name, const char *from,
	unsigned line);
struct conf_file *conf_file_of(struct conf_text *t, const char *name, struct str text);
/* A path as written in the file `from`: relative to its directory. In the arena, NUL behind it. */
struct str conf_file_beside(struct arena *a, const char *from, struct str path);

/* A token's kind is the byte of a punctuation mark, or one of these. */
enum { TOKEN_END = 0, TOKEN_WORD = 256, TOKEN_STRING, TOKEN_BAD };
struct conf_token {
	int kind;        /* TOKEN_BAD: it was reported */
	struct str text; /* WORD: as written; STRING: decoded, in the file's bytes */
	const char *file;
	unsigned line;
};
struct conf_source {
	struct conf_file *file;
	size_t at;
	unsigned line;
};
struct conf_scan {
	struct conf_text *text;
	struct conf_source sources[CONF_INCLUDES_MOST + 1];
	unsigned depth; /* index of the file that is being read */
	bool lenient;   /* report nothing, go on after what is wrong: for conf_pid_file */
};
void conf_scan_init(struct conf_scan *s, struct conf_text *t, struct conf_file *file);
struct conf_token conf_scan_next(struct conf_scan *s);

void conf_text_init(struct conf_text *t, struct conf_teller *teller);
/* Check the syntax and fill in places and `out`. 0, or -1 after one report. */
int conf_text_parse(struct conf_text *t, struct conf_file *file);
/*
 * Give each setting of the tree its place (config_setting_get_hook). The tree must be that of
 * `out`.
 */
void conf_text_attach(struct conf_text *t, config_t *tree);
void conf_text_free(struct conf_text *t);
/*
 * Read a number as it is written. 0 for an integer, 1 for a decimal, -1 for what is neither, -2 for
 * one that no 64 bits hold.
 */
int conf_number(struct str word, long long *out);

/* conf_seen.c: a file was opened, `fd` -1: could not be. */
void conf_files_add(struct conf_files *f, const char *path, int fd);

void conf_tell(struct conf_teller *t, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* -- The table of names: conf_name.c -- */

enum conf_scope {
	SCOPE_ROOT,
	SCOPE_LISTEN,
	SCOPE_LISTEN_TLS,
	SCOPE_LOG,
	SCOPE_ACCESS_LOG,
	SCOPE_LIMITS,
	SCOPE_TIMEOUTS,
	SCOPE_RATE,
	SCOPE_STREAM,
	SCOPE_CLIENT,
	SCOPE_CLIENT_RATE,
	SCOPE_PROVIDER,
	SCOPE_TLS,
	SCOPE_CONNECTIONS,
	SCOPE_ATTEMPT,
	SCOPE_PROVIDER_RATE,
	SCOPE_ENDPOINT,
	SCOPE_ENDPOINT_RATE,
	SCOPE_ENDPOINT_STREAM,
	SCOPE_ECHO,
	SCOPE_HEADER,
	SCOPE_MODEL,
	SCOPE_MAP,
	SCOPE_ROUTE,
	SCOPE_TARGET,
	CONF_SCOPES
};
enum conf_kind {
	KIND_TEXT,
	KIND_PATH,
	KIND_SECRET,
	KIND_FLAG,
	KIND_NOT,
	KIND_WORD,
	KIND_COUNT,
	KIND_AUTO,
	KIND_BYTES,
	KIND_TIME,
	KIND_IN,
	KIND_MANY
};
enum conf_many {
	MANY_LISTEN,
	MANY_CLIENTS,
	MANY_CLIENT_MODELS,
	MANY_PROVIDERS,
	MANY_ROUTES,
	MANY_HEADERS,
	MANY_MODELS,
	MANY_MAPS,
	MANY_MODEL_OPTIONS,
	MANY_STRIP,
	MANY_ENDPOINTS,
	MANY_ENDPOINT_HEADERS,
	MANY_TARGETS,
	CONF_MANIES
};
enum {
	FOR_ANTHROPIC = 1 << DIALECT_ANTHROPIC,
	FOR_ECHO = 1 << DIALECT_ECHO,
	FOR_REMOTE = FOR_ANTHROPIC | 1 << DIALECT_OPENAI | 1 << DIALECT_GEMINI |
		1 << DIALECT_COHERE | 1 << DIALECT_OLLAMA,
	FOR_PATHS = FOR_REMOTE & ~(1 << DIALECT_GEMINI), /* Gemini's paths hold the model */
	FOR_ALL = FOR_REMOTE | FOR_ECHO
};

struct conf_row {
	enum conf_scope scope;
	const char *name;
	enum conf_kind kind;
	size_t offset, size; /* of the member in the scope's struct */
	long long low, high, preset;
	const char *text;
	unsigned dialects;
	int inner; /* IN: the scope inside; MANY: which */
};
extern const struct conf_row conf_rows[];
extern const size_t conf_n_rows;

/* As read, before names are looked up. */
struct conf_written_target {
	struct str provider, model;
	uint32_t weight;
};
struct conf_written_route {
	struct str path, model, provider;
	struct conf_target *targets;
	size_t n_targets;
};

const struct conf_row *conf_row_find(enum conf_scope scope, struct str name);
/* Does a setting of this name hold a secret, wherever it stands? */
bool conf_name_is_secret(struct str name);
/*
 * The known name of the scope that is nearest to `name`; *close when it differs by little. NULL
 * only for a scope without names.
 */
const char *conf_name_nearest(enum conf_scope scope, struct str name, bool *close);
/*
 * How many letters must be put in, taken out, replaced or swapped with the next to make one name of
 * the other? Looks at 32 of them.
 */
size_t conf_distance(struct str a, struct str b);
/* Is that few enough for a slip? */
bool conf_is_slip(size_t distance, struct str name);
/* The i-th of words "a|b|c"; empty past the last. */
struct str conf_word(const char *words, size_t i);

/* -- Typed reading: conf_value.c -- */

struct conf_loader {
	const struct conf_options *options;
	struct conf_teller *teller;
	struct conf *conf;
	const char *path; /* of the main file, as messages name it */
	config_setting_t *root;
};

/* Fill the scope's struct and those inside with defaults. */
void conf_preset(struct arena *a, enum conf_scope scope, void *base);
/*
 * Read a group into the scope's struct. First what stands in it alone, then its lists, in the order
 * of the table. An error is told and reading goes on, so that one run finds all.
 */
void conf_group_read(struct conf_loader *l, config_setting_t *group, enum conf_scope scope,
	void *base);
/* Was an unknown name in the group told of as a slip of this one? Then it is not said to miss. */
bool conf_slipped(config_setting_t *group, enum conf_scope scope, const char *name);
/* The text of a setting, in the arena; false after an error was told. `must` says what would do. */
bool conf_text_value(struct conf_loader *l, config_setting_t *s, const char *must, struct str *out);
/* True for a group (a list); else an error was told. */
bool conf_is_group(struct conf_loader *l, config_setting_t *s);
bool conf_is_list(struct conf_loader *l, config_setting_t *s);
unsigned conf_length(const config_setting_t *s);
config_setting_t *conf_member(config_setting_t *group, const char *name);
/* The setting of that name for a message, or the group itself where the setting was left out. */
config_setting_t *conf_named(config_setting_t *group, const char *name);
const struct conf_place *conf_place(const config_setting_t *s);
/* The same for the time after the loading; NULL: it was left out. */
struct conf_spot conf_spot(struct conf_loader *l, const config_setting_t *s);
/*
 * "PATH TEXT" at the place of the setting, where PATH is like providers.openai.timeouts or
 * routes[0].model.
 */
void conf_error(struct conf_loader *l, const config_setting_t *s, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same as a warning, to the log. */
void conf_warn(const config_setting_t *s, const char *text);

/* -- What the lists hold: one file each -- */

typedef void conf_reader(struct conf_loader *l, config_setting_t *s, void *base);
conf_reader conf_read_listens, conf_read_clients, conf_read_client_models, conf_read_providers,
	conf_read_routes, conf_read_headers, conf_read_models, conf_read_maps, conf_read_targets,
	conf_read_endpoints, conf_read_endpoint_headers, conf_read_model_options, conf_read_strip;
/* Of a group, what means nothing to a provider of this dialect is an error: it would silently do
 * nothing. */
void conf_names_check(struct conf_loader *l, config_setting_t *s, enum conf_scope scope,
	enum dialect_id dialect);
/* { User-Agent = "x"; } or ( { name = "User-Agent"; value = "x"; } ) */
void conf_headers_read(struct conf_loader *l, config_setting_t *s, struct conf_header **headers,
	size_t *n);
/* What a provider's endpoints have from the provider. */
void conf_endpoints_finish(struct conf_loader *l, config_setting_t *s, struct conf_provider *p);
/* A rate limit of a group's own with a burst alone would be none at all: an error. */
void conf_rate_check(struct conf_loader *l, config_setting_t *group);
/* The rate limit that the environment names, for what the file leaves out. */
void conf_rate_from_environment(struct conf_loader *l);
/* The listener of a configuration that has none; -p; what must hold between listeners. */
void conf_listens_finish(struct conf_loader *l);
/* What a listener's tls needs, and its TLS context (conf_listen_tls.c). `s` is the listener. */
void conf_listen_tls(struct conf_loader *l, config_setting_t *s, struct conf_listen *li);
void conf_logs_finish(struct conf_loader *l);
/* `file`, an absolute path, must be in a directory that there is. */
void conf_directory_check(struct conf_loader *l, const config_setting_t *s, struct str file);
void conf_providers_finish(struct conf_loader *l);
/* Routes of the providers' own models. */
void conf_routes_finish(struct conf_loader *l);
struct conf_provider *conf_provider_find(const struct conf *c, struct str name);
/* An absolute path with its query, taken apart. NULL, or what is wrong with it. */
const char *conf_path_parse(struct arena *a, struct str written, struct str *path,
	struct str *query);
/*
 * Take base_url apart into the provider. NULL, or what is wrong with it: a sentence that shows
 * nothing of a password.
 */
const char *conf_url_parse(struct arena *a, struct str url, struct conf_provider *p);

/* conf_load with the text in the place of the file's. */
struct conf *conf_load_text(const struct conf_options *o, struct str text, conf_report *report,
	void *ctx);

#endif
