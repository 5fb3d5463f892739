/*
 * main: the command line. Reads the options, does what ends at once (-h, -V, -k, -t, -T, -s), else
 * hands over to the master.
 *
 * Exit status: 0; 1 for a failure at run time; 64 (EX_USAGE) for a command line that makes no
 * sense, with a short usage on stderr; 78 (EX_CONFIG) for a configuration with errors, each of
 * which is one line "FILE:LINE: reason" on stderr. With -D it is the background process that comes
 * back here from master_run; the one in the foreground ends in process/daemon.
 *
 * The paths of the configuration and of the program are made absolute before anything else, since a
 * daemon works in / and HUP reads the one again, USR2 executes the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>
#include <zlib.h>

#include "base/heap.h"
#include "base/version.h"
#include "config/secret.h"
#include "json/text.h"
#include "process/generation.h"
#include "process/master.h"
#include "process/pidfile.h"

static const struct {
	int signo;
	const char *name, *word, *does;
} signals[] = {
#define SIGNAL(name, word, act, does) { SIG##name, #name, word, does },
#include "process/signal.def"
#undef SIGNAL
};
#define N_SIGNALS (sizeof signals / sizeof signals[0])

/* A client's key: something to know it by, and 43 digits of 6 bits. */
#define KEY_PREFIX "ar-"
#define KEY_DIGITS 43

struct command {
	struct conf_options options;
	bool test, print; /* -t, -T */
	const char *key;  /* -k; NULL: none */
	int signo;        /* -s; 0: none */
};

#define SYNOPSIS                                                     \
	"usage: api-router [-DtTVh] [-c file] [-p port] [-s word]\n" \
	"       api-router -k name\n"

static void
usage(void)
{
	fputs(SYNOPSIS
		"  -c file  the configuration; else the file that API_ROUTER_CONFIG_PATH names,\n"
		"           else " SYSCONFDIR "/api-router/api-router.conf\n"
		"  -D       run in the background; ends with 0 when the workers are ready\n"
		"  -k name  make a key for a client, and what to put under clients\n"
		"  -p port  port of the first listener, whatever the file says\n"
		"  -s word  signal the running master, by its pid file:\n",
		stdout);
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (signals[i].word[0] != '\0')
			printf("           %-7s  %s (%s)\n", signals[i].word, signals[i].does,
				signals[i].name);
	fputs("  -t       check the configuration and all files that it names\n"
	      "  -T       check it and print it, with all defaults and no secrets\n"
	      "  -V       print the version, also those of the libraries\n"
	      "  -h       print this\n"
	      "other signals to the master:\n",
		stdout);
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (signals[i].word[0] == '\0')
			printf("           %-7s  %s\n", signals[i].name, signals[i].does);
	fputs("exit status:\n"
	      "  0 it went well; 1 it failed at run time; 64 these options make no sense;\n"
	      "  78 the configuration has errors, each told as FILE:LINE: reason\n"
	      "manuals: api-router(8), api-router-signals(7), api-router.conf(5)\n",
		stdout);
}

static void
version(void)
{
	const struct scmp_version *seccomp = seccomp_version();
	printf("api-router %s\n%s\nlibconfig %d.%d.%d\nlibseccomp %u.%u.%u\nzlib %s\n", VERSION,
		OpenSSL_version(OPENSSL_VERSION), LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR,
		LIBCONFIG_VER_REVISION, seccomp->major, seccomp->minor, seccomp->micro,
		zlibVersion());
}

static _Noreturn void
misused(const char *why, const char *what)
{
	fprintf(stderr, "api-router: %s%s\n" SYNOPSIS "api-router -h tells more\n", why, what);
	exit(EX_USAGE);
}

static int
signal_of(const char *word)
{
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (word[0] != '\0' && strcmp(word, signals[i].word) == 0)
			return signals[i].signo;
	char known[128];
	size_t at = 0;
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (signals[i].word[0] != '\0')
			at += (size_t)snprintf(known + at, sizeof known - at, "%s%s",
				at > 0 ? ", " : "-s: the word is one of ", signals[i].word);
	snprintf(known + at, sizeof known - at, "; not ");
	misused(known, word);
}

static uint16_t
port_of(const char *text)
{
	uint64_t port;
	if (str_u64(str_of(text), &port) != 0 || port == 0 || port > UINT16_MAX)
		misused("-p: a port is 1 to 65535, not ", text);
	return (uint16_t)port;
}

/* As `clients` would take it. */
static const char *
client_name_of(const char *name)
{
	if (name[0] == '\0' || name[0] == '-' || strlen(name) > 128)
		misused("-k: a client's name has 1 to 128 bytes and does not begin with -", "");
	if (!json_text_plain(str_of(name)))
		misused("-k: a client's name is UTF-8 without control characters", "");
	return name;
}

static void
parse(int argc, char **argv, struct command *c)
{
	const char *taken = NULL;
	int option;
	opterr = 0;
	while ((option = getopt(argc, argv, ":c:Dk:p:s:tTVh")) != -1) {
		char name[2] = { (char)optopt, '\0' };
		taken = optarg;
		switch (option) {
		case 'c':
			c->options.path = optarg;
			break;
		case 'D':
			c->options.detach = true;
			break;
		case 'k':
			c->key = client_name_of(optarg);
			break;
		case 'p':
			c->options.port = port_of(optarg);
			break;
		case 's':
			c->signo = signal_of(optarg);
			break;
		case 't':
			c->test = true;
			break;
		case 'T':
			c->test = c->print = true;
			break;
		case 'V':
			version();
			exit(EX_OK);
		case 'h':
			usage();
			exit(EX_OK);
		case ':':
			misused("this option needs an argument: -", name);
		default:
			/* To getopt a long one is letters in a row, of which - is the first. */
			if (optind < argc && strncmp(argv[optind], "--", 2) == 0)
				misused("options have one letter: not ", argv[optind]);
			misused("unknown option: -", name);
		}
	}
	if (c->key != NULL && argc > 3)
		misused("-k stands alone: other options mean nothing to it", "");
	if (optind < argc)
		misused("unexpected argument: ", argv[optind]);
	/* Options that an upgrade adds would not be any behind it. */
	if (argv[optind - 1] != taken && strcmp(argv[optind - 1], "--") == 0)
		argv[optind - 1] = NULL;
}

/* An error of the configuration, before there is a log. */
static void
report(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx;
	if (line > 0)
		fprintf(stderr, "%s:%u: %s\n", file, line, text);
	else
		fprintf(stderr, "%s: %s\n", file, text);
}

static int
check(const struct command *c)
{
	char missing[1024];
	struct account account;
	struct conf *conf = generation_conf(&c->options, &account, report, NULL);
	if (conf == NULL)
		return EX_CONFIG;
	if (conf_keys_missing(conf, missing, sizeof missing) > 0)
		fprintf(stderr, "api-router: %s: no key yet: %s\n", c->options.path, missing);
	fprintf(stderr, "api-router: %s: ok\n", c->options.path);
	if (c->print)
		conf_print(conf, stdout);
	conf_free(conf);
	return fflush(stdout) == 0 ? EX_OK : EXIT_FAILURE;
}

/* May it stand as the name of a setting, and not only as text? */
static bool
is_setting(const char *name)
{
	size_t plain =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
	return name[plain] == '\0' && strspn(name, "-_0123456789") == 0 &&
		strcasecmp(name, "true") != 0 && strcasecmp(name, "false") != 0;
}

/* -k: the secret on a line of its own, then what belongs into the configuration. */
static int
make_key(const char *name)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t random[KEY_DIGITS], hash[SECRET_HASH];
	char key[sizeof KEY_PREFIX + KEY_DIGITS] = KEY_PREFIX;
	size_t len = strlen(KEY_PREFIX);
	secret_random(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		key[len++] = digits[random[i] % 64];
	secret_hash((struct str){ key, len }, hash);
	printf("%.*s\n\n", (int)len, key);
	bool setting = is_setting(name);
	if (setting) {
		printf("clients: {\n\t%s: { key = \"sha256:", name);
	} else {
		fputs("clients = (\n\t{ name = \"", stdout);
		for (const char *p = name; *p != '\0'; p++)
			printf(*p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
		fputs("\"; key = \"sha256:", stdout);
	}
	for (size_t i = 0; i < sizeof hash; i++)
		printf("%02x", hash[i]);
	fputs(setting ? "\"; };\n};\n" : "\"; }\n);\n", stdout);
	secret_wipe(random, sizeof random);
	secret_wipe(key, sizeof key);
	return fflush(stdout) == 0 ? EX_OK : EXIT_FAILURE;
}

static int
send_signal(const struct command *c)
{
	char path[PATH_MAX];
	if (conf_pid_file(c->options.path, path, sizeof path) != 0) {
		bool there = access(c->options.path, R_OK) == 0;
		fprintf(stderr, "api-router: %s: cannot read pid_file: %s\n", c->options.path,
			there ? "it is not text in double quotes" : strerror(errno));
		return EXIT_FAILURE;
	}
	if (path[0] == '\0') {
		fprintf(stderr, "api-router: %s: pid_file is \"\": there is none to signal by\n",
			c->options.path);
		return EXIT_FAILURE;
	}
	pid_t holder = pidfile_holder(path);
	if (holder < 0)
		fprintf(stderr, "api-router: %s: %s\n", path, strerror(errno));
	else if (holder == 0)
		fprintf(stderr, "api-router: not running: nobody holds %s\n", path);
	else if (kill(holder, c->signo) == 0)
		return EXIT_SUCCESS;
	else
		fprintf(stderr, "api-router: cannot signal process %d: %s\n", (int)holder,
			strerror(errno));
	return EXIT_FAILURE;
}

/*
 * Have descriptors 0, 1 and 2 open. Where the caller closed one, the next file that is opened takes
 * its number: what is written to stdout or stderr would go into it, be it the memory that the
 * processes share or a client's connection.
 */
static void
open_standard(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int
main(int argc, char **argv)
{
	heap_open();
	open_standard();
	char path[PATH_MAX];
	struct command c = { 0 };
	struct program program;
	program_open(&program, argv);
	parse(argc, argv, &c);
	c.options.path = program_absolute(
		c.options.path != NULL ? c.options.path : conf_default_path(), path);
	if (c.key != NULL)
		return make_key(c.key);
	if (c.signo != 0)
		return send_signal(&c);
	if (c.test)
		return check(&c);
	return master_run(&c.options, &program, report);
}
