/*
 * Configurations that are wrong: each with every message that it must give, line numbers included.
 * Nothing may be kept of them: no byte of memory, and no secret in a message.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "config/conf_private.h"

#define ECHO_ "providers: { echo: { dialect = \"echo\"; }; };\n"
#define PROVIDER(url, body)                                                                      \
	STR("providers: {\n\tx: {\n\t\tdialect = \"openai\"; base_url = \"" url "\";\n\t\t" body \
	    "\n\t};\n};\n")
#define OPENAI(body) PROVIDER("http://127.0.0.1:9/v1", body)
#define HTTPS(body) PROVIDER("https://127.0.0.1", body)
#define URL(url) PROVIDER(url, "")
#define CLIENTS(clients) STR("clients: {\n\t" clients "\n};\n" ECHO_)
#define HEX60 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
#define ROUTES(routes) STR("routes = (\n\t" routes "\n);\n" ECHO_)

static const struct bad {
	const char *name;
	struct str text;
	const char *messages; /* "LINE: TEXT", one a line */
} cases
	[] = {
		/* syntax */
		{ "missing_semicolon",
			STR("workers = 2\n"
			    "pid_file = \"\";\n" ECHO_),
			"1: a ; is missing after workers" },
		{ "missing_semicolon_after_a_group",
			STR("log: { level = \"info\"; }\n"
			    "workers = 2;\n" ECHO_),
			"1: a ; is missing after log" },
		{ "missing_semicolon_at_the_end_of_an_array_line",
			STR("providers: { echo: {\n"
			    "\tdialect = \"echo\"\n"
			    "\tmodels = ( \"a\" );\n"
			    "}; };\n"),
			"2: a ; is missing after dialect" },
		{ "two_semicolons", STR("workers = 2;;\n" ECHO_), "1: a ; too many" },
		{ "unclosed_brace",
			STR("workers = 2;\n"
			    "providers: {\n"
			    "\techo: { dialect = \"echo\"; };\n"
			    "\n"
			    "routes = ( );\n"),
			"2: this { is never closed" },
		{ "unclosed_inner_brace",
			STR(ECHO_ "log: {\n"
				  "\tlevel = \"info\";\n"),
			"2: this { is never closed" },
		{ "unclosed_bracket",
			STR(ECHO_ "routes = (\n"
				  "\t{ model = \"a\"; provider = \"echo\"; }\n"),
			"2: this ( is never closed" },
		{ "unclosed_array",
			STR("workers = 2;\n"
			    "providers: { echo: { dialect = \"echo\"; models = [ \"a\", \"b\"; }; };\n"),
			"2: a ; inside a list: its elements are separated by commas, and it is closed by ]" },
		{ "wrong_bracket",
			STR(ECHO_ "routes = (\n"
				  "\t{ model = \"a\"; provider = \"echo\"; )\n"
				  ");\n"),
			"3: a ) stands where the { of line 3 should be closed" },
		{ "brace_too_many", STR(ECHO_ "};\n"), "2: this } closes nothing" },
		{ "unclosed_string",
			STR("workers = 2;\n"
			    "pid_file = \"/run/x.pid;\n"
			    "log: { level = \"info\"; };\n" ECHO_),
			"2: a string is not closed on its line (a line break inside is written \\n)" },
		{ "unclosed_string_at_the_end", STR(ECHO_ "pid_file = \""),
			"2: a string is not closed on its line (a line break inside is written \\n)" },
		{ "backslash_at_the_end", STR(ECHO_ "pid_file = \"\\"),
			"2: a string is not closed on its line (a line break inside is written \\n)" },
		{ "unclosed_comment",
			STR("workers = 2;\n"
			    "/* about\n"
			    "the providers\n" ECHO_),
			"2: a comment that begins here with /* is not closed" },
		{ "trailing_comma_in_a_list", ROUTES("{ model = \"a\"; provider = \"echo\"; },"),
			"2: a comma stands behind the last element of a list" },
		{ "trailing_comma_in_an_array",
			STR("providers: { echo: { dialect = \"echo\";\n"
			    "\tmodels = [ \"a\",\n"
			    "\t];\n"
			    "}; };\n"),
			"2: a comma stands behind the last element of a list" },
		{ "missing_comma_in_a_list",
			ROUTES("{ model = \"a\"; provider = \"echo\"; }\n"
			       "\t{ model = \"b\"; provider = \"echo\"; }"),
			"2: a comma is missing between two elements of a list" },
		{ "semicolon_in_a_list",
			ROUTES("{ model = \"a\"; provider = \"echo\"; };\n"
			       "\t{ model = \"b\"; provider = \"echo\"; }"),
			"2: a ; inside a list: its elements are separated by commas, and it is closed by )" },
		{ "leading_comma", ROUTES(", { model = \"a\"; provider = \"echo\"; }"),
			"2: an element of a list is missing before this comma" },
		{ "two_commas",
			STR("providers: { echo: { dialect = \"echo\"; models = ( \"a\",, \"b\" ); }; };\n"),
			"1: an element of a list is missing before this comma" },
		{ "byte_order_mark", STR("\xef\xbb\xbfworkers = 2;\n" ECHO_),
			"1: the file begins with a byte-order mark: save it as UTF-8 without one" },
		{ "utf_16", STR("\xff\xfew\x00o\x00"), "1: the file is UTF-16: save it as UTF-8" },
		{ "nul_byte",
			STR("workers = 2;\n"
			    "\x00\n"),
			"2: the file holds a NUL byte: it is not a text" },
		{ "nul_in_a_string", STR(ECHO_ "pid_file = \"a\\x00b\";\n"),
			"2: a string holds a NUL byte" },
		{ "not_utf_8",
			STR("providers: { echo: { dialect = \"echo\"; }; };\n"
			    "pid_file = \"/run/caf\xe9.pid\";\n"),
			"2: a string is not UTF-8" },
		{ "missing_equals", STR("workers 2;\n" ECHO_), "1: a = is missing after workers" },
		{ "missing_value", STR("workers = ;\n" ECHO_), "1: workers has no value" },
		{ "missing_value_at_the_end", STR(ECHO_ "workers ="), "2: workers has no value" },
		{ "missing_value_before_a_name",
			STR("pid_file =\n"
			    "workers = 2;\n" ECHO_),
			"2: a value is missing before this name" },
		{ "missing_name", STR("= 2;\n" ECHO_), "1: a name is missing before this =" },
		{ "group_without_a_name", STR("{ level = \"info\"; };\n" ECHO_),
			"1: a name is missing before this {: a group is written name: { ... };" },
		{ "quoted_name", STR("\"workers\" = 2;\n" ECHO_),
			"1: the name of a setting stands without quotes" },
		{ "name_with_a_dot", STR("log.level = \"info\";\n" ECHO_),
			"1: log.level is not a name: one begins with a letter and holds letters, digits, - and _" },
		{ "name_with_a_digit_first",
			STR("workers = 2;\n"
			    "2nd = 3;\n" ECHO_),
			"2: 2nd is not a name: one begins with a letter and holds letters, digits, - and _" },
		{ "header_name_that_libconfig_cannot_take", OPENAI("headers: { X.Odd = \"1\"; };"),
			"4: X.Odd cannot stand as a name (letters, digits, - and _ can): write headers = ( { name = \"X.Odd\"; value = \"...\"; } );" },
		{ "true_as_a_name", STR("true = 1;\n" ECHO_),
			"1: true is not a name: one begins with a letter and holds letters, digits, - and _" },
		{ "unquoted_text",
			STR("log: {\n"
			    "\tlevel = info;\n"
			    "};\n" ECHO_),
			"2: level: text must stand in double quotes, like \"info\"" },
		{ "single_quotes", STR("pid_file = '/run/x.pid';\n" ECHO_),
			"1: pid_file: text must stand in double quotes, like \"this\"" },
		{ "curly_quotes", STR("pid_file = \xe2\x80\x9c/run/x.pid\xe2\x80\x9d;\n" ECHO_),
			"1: pid_file: text must stand in double quotes, like \"this\"" },
		{ "yes", STR("open = yes;\n" ECHO_),
			"1: open: write true or false, or text in double quotes, not yes" },
		{ "unit",
			STR("timeouts: {\n"
			    "\thead = 10s;\n"
			    "};\n" ECHO_),
			"2: head: 10s is not a number (sizes are bytes, times are seconds, without a unit)" },
		{ "unit_of_size", STR("limits: { memory = 256M; };\n" ECHO_),
			"1: memory: 256M is not a number (sizes are bytes, times are seconds, without a unit)" },
		{ "broken_decimal", STR("timeouts: { head = 1.2.3; };\n" ECHO_),
			"1: head: 1.2.3 is not a number (sizes are bytes, times are seconds, without a unit)" },
		{ "number_beyond_64_bits",
			STR("workers = 2;\n"
			    "limits: { memory = 99999999999999999999; };\n" ECHO_),
			"2: memory: the number does not fit 64 bits" },
		{ "number_beyond_64_bits_with_l",
			STR("limits: { memory = 9223372036854775808L; };\n" ECHO_),
			"1: memory: the number does not fit 64 bits" },
		{ "hex_beyond_64_bits", STR("limits: { memory = 0xFFFFFFFFFFFFFFFFF; };\n" ECHO_),
			"1: memory: the number does not fit 64 bits" },
		{ "number_that_wraps_into_the_range",
			STR("listen = ( { port = 4294975296; } );\n" ECHO_),
			"1: listen[0].port must be 0 to 65535, not 4294975296" },
		{ "hex_that_wraps_into_the_range",
			STR("listen = ( { port = 0x100001f40; } );\n" ECHO_),
			"1: listen[0].port must be 0 to 65535, not 4294975296" },
		{ "negative_number_that_wraps", STR("workers = -4294967294;\n" ECHO_),
			"1: workers must be \"auto\" or 1 to 256, not -4294967294" },
		{ "setting_in_a_list", STR("routes = ( model = \"a\" );\n" ECHO_),
			"1: a setting inside a list must stand in braces: ( { name = value; } )" },
		{ "group_in_an_array", STR("listen = [ { port = 80; } ];\n" ECHO_),
			"1: [ ] holds plain values only: write a list with ( )" },
		{ "setting_twice",
			STR("workers = 2;\n"
			    "pid_file = \"\";\n"
			    "workers = 3;\n" ECHO_),
			"3: workers stands twice in this group (first on line 1)" },
		{ "provider_twice",
			STR("providers: {\n"
			    "\ta: { dialect = \"echo\"; };\n"
			    "\ta: { dialect = \"echo\"; };\n"
			    "};\n"),
			"3: a stands twice in this group (first on line 2)" },
		{ "too_deep",
			STR("a = ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ) ) ) ) ) ) ) ) ) ) ) ) ) ) ) ) ) ;\n"),
			"1: more than 16 brackets inside each other" },
		{ "group_value_followed_by_more", STR("log: { } \"x\";\n" ECHO_),
			"1: log: what stands behind the value does not belong there" },
		{ "include_in_the_middle", STR("workers = 2; @include \"x.conf\"\n" ECHO_),
			"1: @include must stand at the start of a line" },
		{ "include_without_quotes",
			STR("workers = 2;\n"
			    "@include x.conf\n" ECHO_),
			"2: @include wants the name of a file in double quotes" },
		{ "include_of_a_missing_file",
			STR("workers = 2;\n"
			    "@include \"/nonexistent/x.conf\"\n" ECHO_),
			"2: @include: cannot read /nonexistent/x.conf: No such file or directory" },
		{ "include_of_a_directory", STR("@include \"/\"\n" ECHO_),
			"1: @include: cannot read /: Is a directory" },

		/* names */
		{ "unknown_name",
			STR("workers = 2;\n"
			    "workerz = 3;\n" ECHO_),
			"2: workerz is unknown: did you mean workers?" },
		{ "unknown_name_in_a_group",
			STR("timeouts: {\n"
			    "\tconect = 1.0;\n"
			    "};\n" ECHO_),
			"2: timeouts.conect is unknown: did you mean connect?" },
		{ "unknown_name_far_from_all", STR("stream: { colour = \"red\"; };\n" ECHO_),
			"1: stream.colour is unknown: nearest is heartbeat, of heartbeat, buffer_bytes" },
		{ "unknown_name_in_a_provider", OPENAI("api_kye = \"sk-very-secret\";"),
			"4: providers.x.api_kye is unknown: did you mean api_key?" },
		{ "unknown_name_with_swapped_letters", STR("limits: { haeders = 50; };\n" ECHO_),
			"1: limits.haeders is unknown: did you mean headers?" },
		{ "clients_empty", STR("clients: { };\n" ECHO_),
			"1: clients is empty, which would admit everyone: name a client (api-router -k NAME makes a key), or leave it out" },
		{ "clients_text", STR("clients = \"a\";\n" ECHO_),
			"1: clients must be a group { ... } or a list ( ... )" },
		{ "client_key_in_so_many_words", CLIENTS("a: { key = \"sk-very-secret\"; };"),
			"2: clients.a.key must be \"sha256:...\", the hash of a key as api-router -k a makes it, or \"env:NAME\" or \"file:/path\", where the key itself is" },
		{ "client_that_is_a_key", CLIENTS("a = \"sk-very-secret\";"),
			"2: clients.a must be a group { key = \"...\"; }" },
		{ "clients_that_are_keys", STR("clients = ( \"sk-very-secret\", 5 );\n" ECHO_),
			"1: clients[0] must be a group { key = \"...\"; }\n"
			"1: clients[1] must be a group { key = \"...\"; }" },
		{ "client_key_of_nothing",
			CLIENTS("a: { key = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"; };"),
			"2: clients.a.key is the hash of an empty key, which nobody can send: api-router -k a makes one" },
		{ "client_without_key", CLIENTS("a: { };"),
			"2: clients.a has no key: api-router -k a makes one" },
		{ "client_key_too_short", CLIENTS("a: { key = \"sha256:00ff\"; };"),
			"2: clients.a.key must have 64 hexadecimal digits behind sha256:, not 4: api-router -k a prints such a line" },
		{ "client_key_no_hex", CLIENTS("a: { key = \"sha256:" HEX60 "12g4\"; };"),
			"2: clients.a.key must have 64 hexadecimal digits behind sha256:, and one of these is none: api-router -k a prints such a line" },
		{ "client_key_in_a_missing_file",
			CLIENTS("a: { key = \"file:/nonexistent/key\"; };"),
			"2: clients.a.key cannot be had: cannot read /nonexistent/key: No such file or directory" },
		{ "clients_with_one_key",
			CLIENTS("a: { key = \"sha256:" HEX60
				"1234\"; };\n\tb: { key = \"sha256:" HEX60 "1234\"; };"),
			"3: clients.b.key is the key of \"a\", too: api-router -k b makes another" },
		{ "client_twice",
			STR("clients = ( { name = \"a\"; key = \"sha256:" HEX60 "1234\"; },\n"
			    "\t{ name = \"a\"; key = \"sha256:" HEX60 "1235\"; } );\n" ECHO_),
			"2: clients[1] is \"a\" a second time" },
		{ "client_without_name",
			STR("clients = ( { key = \"sha256:" HEX60 "1234\"; } );\n" ECHO_),
			"1: clients[0] has no name" },
		{ "client_with_two_names",
			CLIENTS("a: { name = \"b\"; key = \"sha256:" HEX60 "1234\"; };"),
			"2: clients.a.name is too much: the name of the group is the name of the client" },
		{ "client_models",
			CLIENTS("a: { key = \"sha256:" HEX60 "1234\"; models = ( \"\" ); };\n"
				"\tb: { key = \"sha256:" HEX60 "1235\"; models = ( ); };"),
			"2: clients.a.models[0] is an empty pattern\n"
			"3: clients.b.models is empty: leave it out for all models" },
		{ "rate_limit",
			STR("rate_limit: { requests_per_minute = 1000001; burst = -1; per_second = 1; };\n" ECHO_),
			"1: rate_limit.requests_per_minute must be 0 to 1000000, not 1000001\n"
			"1: rate_limit.burst must be 0 to 100000, not -1\n"
			"1: rate_limit.per_second is unknown: nearest is burst, of requests_per_minute, burst" },
		{ "burst_alone",
			STR("clients: { a: { key = \"sha256:" HEX60
			    "1234\"; rate_limit: { burst = 5; }; }; };\n"
			    "providers: { e: { dialect = \"echo\"; rate_limit: { burst = 5; };\n"
			    "\tendpoints = ( { path = \"/v1/messages\"; rate_limit: { burst = 5; }; } ); }; };\n"),
			"1: clients.a.rate_limit has a burst and no requests_per_minute, and so would be no limit at all: say how many a minute\n"
			"3: providers.e.endpoints[0].rate_limit has a burst and no requests_per_minute, and so would be no limit at all: say how many a minute\n"
			"2: providers.e.rate_limit has a burst and no requests_per_minute, and so would be no limit at all: say how many a minute" },
		{ "reload", STR("reload = \"always\";\n" ECHO_),
			"1: reload must be \"signal\" or \"auto\", not \"always\"" },
		{ "listener_tls",
			STR("listen = ( { port = 8443;\n"
			    "\ttls: { }; } );\n" ECHO_),
			"2: listen[0].tls needs a certificate_file, a PEM file with the certificate of this server" },
		{ "three_errors_at_once",
			STR("workers = 0;\n"
			    "open = 1;\n"
			    "listen = 3;\n" ECHO_),
			"1: workers must be \"auto\" or 1 to 256, not 0\n"
			"2: open must be true or false, not 1\n"
			"3: listen must be a list ( ... ), not 3" },

		/* types and ranges */
		{ "workers_zero", STR("workers = 0;\n" ECHO_),
			"1: workers must be \"auto\" or 1 to 256, not 0" },
		{ "workers_too_many", STR("workers = 257;\n" ECHO_),
			"1: workers must be \"auto\" or 1 to 256, not 257" },
		{ "workers_word", STR("workers = \"many\";\n" ECHO_),
			"1: workers must be \"auto\" or 1 to 256, not \"many\"" },
		{ "workers_decimal", STR("workers = 2.0;\n" ECHO_),
			"1: workers must be \"auto\" or 1 to 256, not 2.0" },
		{ "port_too_large", STR("listen = ( { port = 65536; } );\n" ECHO_),
			"1: listen[0].port must be 0 to 65535, not 65536" },
		{ "port_negative", STR("listen = ( { port = -1; } );\n" ECHO_),
			"1: listen[0].port must be 0 to 65535, not -1" },
		{ "port_text",
			STR("listen = (\n"
			    "\t{ port = \"8000\"; }\n"
			    ");\n" ECHO_),
			"2: listen[0].port must be 0 to 65535, not \"8000\"" },
		{ "timeout_zero",
			STR("workers = 2;\n"
			    "timeouts: {\n"
			    "\tconnect = 0;\n"
			    "};\n" ECHO_),
			"3: timeouts.connect must be 0.1 to 3600 seconds, not 0" },
		{ "timeout_too_small", STR("timeouts: { head = 0.01; };\n" ECHO_),
			"1: timeouts.head must be 0.1 to 3600 seconds, not 0.01" },
		{ "timeout_negative", STR("timeouts: { idle = -1; };\n" ECHO_),
			"1: timeouts.idle must be 0, or 0.001 to 86400 seconds, not -1" },
		{ "timeout_smaller_than_a_millisecond",
			STR("timeouts: { total = 0.0001; };\n" ECHO_),
			"1: timeouts.total must be 0, or 0.001 to 86400 seconds, not 0.0001" },
		{ "timeout_too_large", STR("timeouts: { total = 1e300; };\n" ECHO_),
			"1: timeouts.total must be 0, or 0.001 to 86400 seconds, not 1e+300" },
		{ "timeout_infinite", STR("timeouts: { total = 1e999; };\n" ECHO_),
			"1: timeouts.total must be 0, or 0.001 to 86400 seconds, not inf" },
		{ "timeout_text", STR("timeouts: { idle = \"5\"; };\n" ECHO_),
			"1: timeouts.idle must be 0, or 0.001 to 86400 seconds, not \"5\"" },
		{ "memory_too_small", STR("limits: { memory = 1000; };\n" ECHO_),
			"1: limits.memory must be 1048576 to 1099511627776 bytes, not 1000" },
		{ "limit_decimal", STR("limits: { body_bytes = 1.5; };\n" ECHO_),
			"1: limits.body_bytes must be 1 to 1099511627776 bytes, not 1.5" },
		{ "limit_negative", STR("limits: { rate_bytes = -1; };\n" ECHO_),
			"1: limits.rate_bytes must be 0 to 1073741824 bytes, not -1" },
		{ "json_depth", STR("limits: { json_depth = 1025; };\n" ECHO_),
			"1: limits.json_depth must be 1 to 1024, not 1025" },
		{ "heartbeat", STR("stream: { heartbeat = true; };\n" ECHO_),
			"1: stream.heartbeat must be 0, or 0.001 to 3600 seconds, not true" },
		{ "level", STR("log: { level = \"verbose\"; };\n" ECHO_),
			"1: log.level must be \"error\", \"warn\", \"info\" or \"debug\", not \"verbose\"" },
		{ "format", STR("access_log: { format = \"xml\"; };\n" ECHO_),
			"1: access_log.format must be \"text\" or \"json\", not \"xml\"" },
		{ "log_is_no_group", STR("log = \"stderr\";\n" ECHO_),
			"1: log must be a group { ... }, not \"stderr\"" },
		{ "log_file_stdout", STR("log: { file = \"stdout\"; };\n" ECHO_),
			"1: log.file must be \"stderr\", \"syslog\" or a path with a / in it, not \"stdout\"" },
		{ "log_file_without_a_slash",
			STR("access_log: { file = \"access.log\"; };\n" ECHO_),
			"1: access_log.file must be \"stdout\", \"stderr\", \"syslog\", \"off\" or a path with a / in it, not \"access.log\"" },
		{ "log_file_in_no_directory",
			STR("log: { file = \"/nonexistent/dir/x.log\"; };\n" ECHO_),
			"1: log.file is in a directory that does not exist: mkdir /nonexistent/dir/" },
		{ "pid_file_in_no_directory", STR("pid_file = \"/nonexistent/dir/x.pid\";\n" ECHO_),
			"1: pid_file is in a directory that does not exist: mkdir /nonexistent/dir/" },
		{ "pid_file_below_a_file", STR("pid_file = \"/dev/null/x.pid\";\n" ECHO_),
			"1: pid_file is in a directory that does not exist: mkdir /dev/null/" },
		{ "user_number", STR("user = 1000;\n" ECHO_),
			"1: user must be text in double quotes, not 1000" },
		{ "pid_file_number", STR("pid_file = 1;\n" ECHO_),
			"1: pid_file must be text in double quotes, not 1" },
		{ "control_character", STR("pid_file = \"/run/\\x07.pid\";\n" ECHO_),
			"1: pid_file holds a control character or a broken one: write UTF-8, in one line" },
		{ "open_number", STR("open = 1;\n" ECHO_), "1: open must be true or false, not 1" },

		/* listeners */
		{ "no_listener", STR("listen = ( );\n" ECHO_),
			"1: listen must name at least one listener, or be left out for 127.0.0.1 port 8000" },
		{ "listen_is_a_group", STR("listen: { port = 80; };\n" ECHO_),
			"1: listen must be a list ( ... ), not a group" },
		{ "listen_element", STR("listen = ( 8000 );\n" ECHO_),
			"1: listen[0] must be a group { ... }, not 8000" },
		{ "beyond_loopback",
			STR("listen = (\n"
			    "\t{ address = \"127.0.0.1\"; },\n"
			    "\t{ address = \"*\"; port = 8001; }\n"
			    ");\n" ECHO_),
			"3: listen[1] admits everyone who can reach \"*\": name clients (api-router -k NAME makes a key), or, if that is meant, say open = true;" },
		{ "same_address_twice",
			STR("listen = (\n"
			    "\t{ port = 8000; },\n"
			    "\t{ address = \"::1\"; },\n"
			    "\t{ }\n"
			    ");\n" ECHO_),
			"4: listen[2] is in the way of listen[0]: both take port 8000 of \"127.0.0.1\"; give one another port" },
		{ "address_inside_any",
			STR("open = true;\n"
			    "listen = (\n"
			    "\t{ address = \"*\"; },\n"
			    "\t{ address = \"127.0.0.2\"; }\n"
			    ");\n" ECHO_),
			"4: listen[1] is in the way of listen[0]: both take port 8000 of \"127.0.0.2\"; give one another port" },

		/* providers */
		{ "no_providers", STR("workers = 2;\n"),
			"0: one provider at least is needed, like providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };" },
		{ "empty_file", STR(""),
			"0: one provider at least is needed, like providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };" },
		{ "empty_providers",
			STR("workers = 2;\n"
			    "providers: { };\n"),
			"2: providers is empty: one provider at least is needed, like providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };" },
		{ "providers_is_a_list", STR("providers = ( );\n"),
			"1: providers must be a group { ... }, not a list" },
		{ "provider_is_no_group",
			STR("providers: {\n"
			    "\ta = 1;\n"
			    "};\n"),
			"2: providers.a must be a group { ... }, not 1" },
		{ "unknown_dialect",
			STR("providers: {\n"
			    "\tx: {\n"
			    "\t\tdialect = \"bedrock\"; base_url = \"http://127.0.0.1:9/v1\";\n"
			    "\t\t\n"
			    "\t};\n"
			    "};\n"),
			"3: providers.x.dialect must be \"openai\", \"anthropic\", \"gemini\", \"cohere\", \"ollama\" or \"echo\", not \"bedrock\"" },
		{ "no_base_url",
			STR("providers: {\n"
			    "\tx: { dialect = \"openai\"; };\n"
			    "};\n"),
			"2: providers.x needs a base_url, like \"https://api.openai.com/v1\"" },
		{ "empty_base_url", URL(""), "3: providers.x.base_url must not be empty" },
		{ "base_url_without_scheme", URL("api.openai.com/v1"),
			"3: providers.x.base_url must begin with https:// or http:// (it is \"api.openai.com/v1\")" },
		{ "base_url_of_ftp", URL("ftp://api.openai.com/v1"),
			"3: providers.x.base_url must begin with https:// or http:// (it is \"ftp://api.openai.com/v1\")" },
		{ "base_url_with_user", URL("https://me:hunter2@api.openai.com/v1"),
			"3: providers.x.base_url holds a user or a password: use api_key or headers" },
		{ "base_url_with_fragment", URL("https://api.openai.com/v1#x"),
			"3: providers.x.base_url holds a fragment (#), which is never sent (it is \"https://api.openai.com/v1#x\")" },
		{ "base_url_without_host", URL("https:///v1"),
			"3: providers.x.base_url has no host, or one with a character that a host cannot have (it is \"https:///v1\")" },
		{ "base_url_with_a_bad_host", URL("https://api openai.com/v1"),
			"3: providers.x.base_url has no host, or one with a character that a host cannot have (it is \"https://api openai.com/v1\")" },
		{ "base_url_with_a_bad_port", URL("http://h:70000/"),
			"3: providers.x.base_url has a port that is not 1 to 65535 (it is \"http://h:70000/\")" },
		{ "base_url_with_port_zero", URL("http://h:0/"),
			"3: providers.x.base_url has a port that is not 1 to 65535 (it is \"http://h:0/\")" },
		{ "base_url_with_a_port_of_letters", URL("http://h:http/"),
			"3: providers.x.base_url has a port that is not 1 to 65535 (it is \"http://h:http/\")" },
		{ "base_url_with_an_open_bracket", URL("http://[::1/v1"),
			"3: providers.x.base_url has an IPv6 address that is not closed by ] (it is \"http://[::1/v1\")" },
		{ "base_url_with_bare_ipv6", URL("http://::1/v1"),
			"3: providers.x.base_url has an IPv6 address that must stand in [ ] (it is \"http://::1/v1\")" },
		{ "base_url_with_a_name_in_brackets", URL("http://[name]/v1"),
			"3: providers.x.base_url has brackets that hold no IPv6 address (it is \"http://[name]/v1\")" },
		{ "base_url_with_ipv4_in_brackets", URL("http://[127.0.0.1]/v1"),
			"3: providers.x.base_url has brackets that hold no IPv6 address (it is \"http://[127.0.0.1]/v1\")" },
		{ "base_url_with_a_space", URL("http://h/a b"),
			"3: providers.x.base_url holds a character that must be percent-encoded (it is \"http://h/a b\")" },
		{ "tls_without_https", OPENAI("tls: { verify = false; };"),
			"4: providers.x.tls means nothing to a base_url without https" },
		{ "key_file_alone", HTTPS("tls: { key_file = \"k.pem\"; };"),
			"4: providers.x.tls.key_file cannot be read: /nonexistent/k.pem: No such file or directory\n"
			"4: providers.x.tls has a key_file without a certificate_file" },
		{ "ca_file_missing", HTTPS("tls: { ca_file = \"/nonexistent/ca.pem\"; };"),
			"4: providers.x.tls.ca_file cannot be read: /nonexistent/ca.pem: No such file or directory" },
		{ "certificate_file_missing",
			HTTPS("tls: { verify = false; certificate_file = \"/nonexistent/c.pem\"; };"),
			"4: providers.x.tls.certificate_file cannot be read: /nonexistent/c.pem: No such file or directory" },
		{ "server_name", HTTPS("tls: { server_name = \"a b\"; };"),
			"4: providers.x.tls.server_name is not a host name" },
		{ "base_url_of_echo",
			STR("providers: {\n"
			    "\tx: {\n"
			    "\t\tdialect = \"echo\"; base_url = \"http://127.0.0.1:9/v1\";\n"
			    "\t\t\n"
			    "\t};\n"
			    "};\n"),
			"3: providers.x.base_url means nothing to a provider of dialect echo" },
		{ "version_of_openai", OPENAI("version = \"2023-06-01\";"),
			"4: providers.x.version means nothing to a provider of dialect openai" },
		{ "echo_of_openai", OPENAI("echo: { interval = 1; };"),
			"4: providers.x.echo means nothing to a provider of dialect openai" },
		{ "version_invalid",
			STR("providers: {\n"
			    "\tx: {\n"
			    "\t\tdialect = \"anthropic\"; base_url = \"http://127.0.0.1:9/v1\";\n"
			    "\t\tversion = \"\";\n"
			    "\t};\n"
			    "};\n"),
			"4: providers.x.version is not what a header can hold" },
		{ "credential_without_a_key", OPENAI("credential = \"provider\";"),
			"4: providers.x.credential is \"provider\", but the provider has no api_key" },
		{ "credential_unknown", OPENAI("credential = \"user\";"),
			"4: providers.x.credential must be \"none\", \"provider\", \"client\" or \"client-or-provider\", not \"user\"" },
		{ "api_key_number", OPENAI("api_key = 123456;"),
			"4: providers.x.api_key must be text in double quotes" },
		{ "api_key_with_a_control_character", OPENAI("api_key = \"sk-very\\nsecret\";"),
			"4: providers.x.api_key is not what a key can be: it holds a control character" },
		{ "api_key_in_pieces", OPENAI("api_key = \"sk-\" /**/ \"very-\\nsecret\" \"\";"),
			"4: providers.x.api_key is not what a key can be: it holds a control character" },
		{ "key_under_another_name", OPENAI("apikey = 1234567890secret;"),
			"4: apikey: text must stand in double quotes, like \"this\"" },
		{ "key_without_a_name", OPENAI("sk.very-secret-0123456789-0123456789;"),
			"4: a long word, which is not shown, stands where a name should: one begins with a letter and holds letters, digits, - and _" },
		{ "header_unquoted", OPENAI("headers = { Authorization = 12secret; };"),
			"4: Authorization: text must stand in double quotes, like \"this\"" },
		{ "header_number", OPENAI("headers = { Authorization = 1234; };"),
			"4: providers.x.headers.Authorization must be text in double quotes" },
		{ "header_as_an_element", OPENAI("headers = ( \"Authorization: Bearer secret\" );"),
			"4: providers.x.headers[0] must be a group { ... }" },
		{ "api_key_unquoted", OPENAI("api_key = 1sk-very-secret;"),
			"4: api_key: text must stand in double quotes, like \"this\"" },
		{ "api_key_in_a_missing_file", OPENAI("api_key = \"file:/nonexistent/key\";"),
			"4: providers.x.api_key cannot be had: cannot read /nonexistent/key: No such file or directory" },
		{ "api_key_in_a_relative_file", OPENAI("api_key = \"file:key\";"),
			"4: providers.x.api_key cannot be had: file: wants an absolute path" },
		{ "api_key_of_no_variable", OPENAI("api_key = \"env:\";"), "4: providers.x.api_key cannot be had: env: wants the name of an environment variable" },
		{ "header_name", OPENAI("headers = ( { name = \"a b\"; value = \"1\"; } );"),
			"4: providers.x.headers[0] has the name \"a b\", which HTTP does not allow" },
		{ "header_without_a_name", OPENAI("headers = ( { value = \"1\"; } );"),
			"4: providers.x.headers[0] has the name \"\", which HTTP does not allow" },
		{ "header_value", OPENAI("headers = ( { name = \"a\"; value = \"\"; } );"),
			"4: providers.x.headers[0] has a value that is empty or that HTTP does not allow" },
		{ "header_value_with_a_line_break", OPENAI("headers: { A = \"1\\r\\nB: 2\"; };"),
			"4: providers.x.headers.A holds a control character or a broken one: write UTF-8, in one line" },
		{ "header_number", OPENAI("headers: { A = 1; };"),
			"4: providers.x.headers.A must be text in double quotes" },
		{ "header_host", OPENAI("headers: { Host = \"x\"; };"),
			"4: providers.x.headers.Host sets Host, which is the router's own to set" },
		{ "header_content_length", OPENAI("headers: { content-length = \"0\"; };"),
			"4: providers.x.headers.content-length sets content-length, which is the router's own to set" },
		{ "header_transfer_encoding",
			OPENAI("headers: { Transfer-Encoding = \"chunked\"; };"),
			"4: providers.x.headers.Transfer-Encoding sets Transfer-Encoding, which is the router's own to set" },
		{ "header_connection", OPENAI("headers: { Connection = \"close\"; };"),
			"4: providers.x.headers.Connection sets Connection, which is the router's own to set" },
		{ "header_twice", OPENAI("headers: { A = \"1\"; a = \"2\"; };"),
			"4: providers.x.headers.a sets a a second time" },
		{ "header_unknown_name", OPENAI("headers = ( { nam = \"a\"; value = \"b\"; } );"),
			"4: providers.x.headers[0].nam is unknown: did you mean name?" },
		{ "headers_text", OPENAI("headers = \"A: 1\";"),
			"4: providers.x.headers must be a group { ... } or a list ( ... )" },
		{ "model_pattern", OPENAI("models = ( \"gpt-*\" );"),
			"4: providers.x.models[0] must be the name of one model, not the pattern \"gpt-*\": patterns stand in routes" },
		{ "model_empty", OPENAI("models = ( \"\" );"),
			"4: providers.x.models[0] is an empty name" },
		{ "model_twice",
			STR("providers: {\n"
			    "\tx: {\n"
			    "\t\tdialect = \"openai\"; base_url = \"http://127.0.0.1:9/v1\";\n"
			    "\t\tmodels = ( \"a\", \"b\",\n"
			    "\t\t\"a\" );\n"
			    "\t};\n"
			    "};\n"),
			"5: providers.x.models[2] names \"a\" a second time" },
		{ "model_number", OPENAI("models = ( \"a\", 1 );"),
			"4: providers.x.models[1] must be the name of a model in double quotes, not 1" },
		{ "models_text", OPENAI("models = \"a\";"),
			"4: providers.x.models must be a list ( ... ), not \"a\"" },
		{ "map_without_to", OPENAI("model_map = ( { from = \"a\"; } );"),
			"4: providers.x.model_map[0] needs both from and to, which are not empty" },
		{ "map_twice",
			STR("providers: {\n"
			    "\tx: {\n"
			    "\t\tdialect = \"openai\"; base_url = \"http://127.0.0.1:9/v1\";\n"
			    "\t\tmodel_map = ( { from = \"a\"; to = \"b\"; },\n"
			    "\t\t{ from = \"a\"; to = \"c\"; } );\n"
			    "\t};\n"
			    "};\n"),
			"5: providers.x.model_map[1] maps \"a\" a second time" },
		{ "connections_of_a_provider", OPENAI("connections: { idle = 70000; };"),
			"4: providers.x.connections.idle must be 0 to 65536, not 70000" },
		{ "timeouts_of_a_provider", OPENAI("timeouts: { connect = 0; };"),
			"4: providers.x.timeouts.connect must be 0.1 to 3600 seconds, not 0" },
		{ "unknown_names_of_a_provider", OPENAI("fallback = true; max_token = 4096;"),
			"4: providers.x.fallback is unknown: nearest is dialect, of dialect, base_url, api_key, credential, headers, models, model_map, endpoints, rate_limit, version, max_tokens, unsupported, model_options, tls, connections, timeouts, echo\n"
			"4: providers.x.max_token is unknown: did you mean max_tokens?" },
		{ "max_tokens", OPENAI("max_tokens = 0; unsupported = \"ignore\";"),
			"4: providers.x.max_tokens must be 1 to 100000000, not 0\n"
			"4: providers.x.unsupported must be \"drop\" or \"reject\", not \"ignore\"" },
		{ "max_tokens_too_large", OPENAI("max_tokens = 100000001; unsupported = true;"),
			"4: providers.x.max_tokens must be 1 to 100000000, not 100000001\n"
			"4: providers.x.unsupported must be \"drop\" or \"reject\", not true" },
		{ "translation_of_echo",
			STR("providers: { e: { dialect = \"echo\"; max_tokens = 1;\n"
			    "\tunsupported = \"drop\";\n"
			    "\tmodel_options = ( ); }; };\n"),
			"1: providers.e.max_tokens means nothing to a provider of dialect echo\n"
			"2: providers.e.unsupported means nothing to a provider of dialect echo\n"
			"3: providers.e.model_options means nothing to a provider of dialect echo" },
		{ "model_options_group", OPENAI("model_options: { sampling = false; };"),
			"4: providers.x.model_options must be a list ( ... ), not a group" },
		{ "model_options_text", OPENAI("model_options = ( \"gpt-*\" );"),
			"4: providers.x.model_options[0] must be a group { ... }, not \"gpt-*\"" },
		{ "model_options_values",
			OPENAI("model_options = ( { max_tokens_cap = -1; reasoning_field = \"thinking\"; tokens_field = \"n_predict\";\n"
			       "\t\t\treasoning = \"high\"; cache_breakpoints = 1; strip = \"user\"; } );"),
			"4: providers.x.model_options[0].max_tokens_cap must be 0 to 100000000, not -1\n"
			"4: providers.x.model_options[0].tokens_field must be \"max_tokens\" or \"max_completion_tokens\", not \"n_predict\"\n"
			"5: providers.x.model_options[0].reasoning must be \"auto\", \"effort\", \"adaptive\", \"budget\" or \"none\", not \"high\"\n"
			"5: providers.x.model_options[0].cache_breakpoints must be true or false, not 1\n"
			"5: providers.x.model_options[0].strip must be a list ( ... ), not \"user\"\n"
			"4: providers.x.model_options[0].reasoning_field must be \"\", \"reasoning_content\" or \"reasoning\", not \"thinking\"" },
		{ "model_options_flags",
			OPENAI("model_options = ( { developer_role = 0; sampling = \"no\"; forced_tools = 1.0;\n"
			       "\t\t\tstructured_output = ( ); stream_usage: { }; reasoning_with_tools = 1; } );"),
			"4: providers.x.model_options[0].developer_role must be true or false, not 0\n"
			"4: providers.x.model_options[0].sampling must be true or false, not \"no\"\n"
			"4: providers.x.model_options[0].forced_tools must be true or false, not 1.0\n"
			"5: providers.x.model_options[0].structured_output must be true or false, not a list\n"
			"5: providers.x.model_options[0].stream_usage must be true or false, not a group\n"
			"5: providers.x.model_options[0].reasoning_with_tools must be true or false, not 1" },
		{ "model_options_names",
			OPENAI("model_options = ( { samplings = false; thinking_style = \"x\"; reasoning_field = 1; } );"),
			"4: providers.x.model_options[0].samplings is unknown: did you mean sampling?\n"
			"4: providers.x.model_options[0].thinking_style is unknown: nearest is tokens_field, of model, max_tokens_cap, reasoning_field, tokens_field, developer_role, sampling, forced_tools, structured_output, stream_usage, reasoning, reasoning_with_tools, cache_breakpoints, strip\n"
			"4: providers.x.model_options[0].reasoning_field must be text in double quotes, not 1" },
		{ "model_options_patterns",
			OPENAI("model_options = ( { model = \"\"; }, { model = \"gpt-*\"; }, { model = \"gpt-5\"; },\n"
			       "\t\t\t{ model = \"gpt-*-x*\"; }, { model = \"g*\"; }, { model = \"g*\"; }, { }, { model = \"o1\"; } );"),
			"4: providers.x.model_options[0].model must not be empty: \"*\" is every model\n"
			"4: providers.x.model_options[2].model stands behind \"gpt-*\", which takes every model that it could: the first that matches counts\n"
			"5: providers.x.model_options[3].model stands behind \"gpt-*\", which takes every model that it could: the first that matches counts\n"
			"5: providers.x.model_options[5].model stands behind \"g*\", which takes every model that it could: the first that matches counts\n"
			"5: providers.x.model_options[7].model stands behind \"*\", which takes every model that it could: the first that matches counts" },
		{ "model_options_twice_for_all",
			OPENAI("model_options = ( { }, { sampling = false; } );"),
			"4: providers.x.model_options[1] stands behind \"*\", which takes every model that it could: the first that matches counts" },
		{ "strip_names",
			OPENAI("model_options = ( { strip = ( \"user\", \"\", 5,\n\t\"user\" ); } );"),
			"4: providers.x.model_options[0].strip[1] is an empty name\n"
			"4: providers.x.model_options[0].strip[2] must be the name of a field in double quotes, not 5\n"
			"5: providers.x.model_options[0].strip[3] names \"user\" a second time" },
		{ "endpoint_paths",
			OPENAI("endpoints = ( { path = \"/v1/chat\"; }, { path = \"/v1/embeddings\"; },\n"
			       "\t\t\t{ path = \"/v1/embeddings\"; }, { }, { path = \"/v1/messages/count_tokens\"; } );"),
			"4: providers.x.endpoints[0].path must be one of the paths that go to providers, like \"/v1/chat/completions\", not \"/v1/chat\"\n"
			"5: providers.x.endpoints[2].path is \"/v1/embeddings\" a second time\n"
			"5: providers.x.endpoints[3] has no path\n"
			"5: providers.x.endpoints[4] is about /v1/messages/count_tokens, which a provider of dialect openai does not have" },
		{ "endpoint_upstream_paths",
			OPENAI("endpoints = ( { path = \"/v1/embeddings\"; upstream_path = \"embed\"; },\n"
			       "\t\t\t{ path = \"/v1/rerank\"; upstream_path = \"/a b\"; } );"),
			"4: providers.x.endpoints[0].upstream_path must begin with /: it is put behind base_url\n"
			"5: providers.x.endpoints[1].upstream_path holds a character that must be percent-encoded" },
		{ "endpoint_values",
			OPENAI("endpoints = ( { path = \"/v1/embeddings\"; method = \"HEAD\"; headers: { Host = \"x\"; };\n"
			       "\t\t\tstream: { buffer_bytes = 1; }; limits: { }; } );"),
			"4: providers.x.endpoints[0].method must be \"POST\", \"PUT\", \"PATCH\", \"GET\" or \"DELETE\", not \"HEAD\"\n"
			"5: providers.x.endpoints[0].stream.buffer_bytes must be 1024 to 16777216 bytes, not 1\n"
			"5: providers.x.endpoints[0].limits is unknown: nearest is path, of path, upstream_path, method, headers, rate_limit, stream\n"
			"4: providers.x.endpoints[0].headers.Host sets Host, which is the router's own to set" },
		{ "endpoint_that_no_dialect_is_translated_to",
			STR("providers: {\n"
			    "a: { dialect = \"anthropic\"; base_url = \"http://h\"; endpoints = ( { path = \"/v1/embeddings\"; } ); };\n"
			    "c: { dialect = \"cohere\"; base_url = \"http://h\"; endpoints = ( { path = \"/v1/responses\"; } ); };\n"
			    "g: { dialect = \"gemini\"; base_url = \"http://h\"; endpoints = ( { path = \"/v1/rerank\"; } ); };\n"
			    "o: { dialect = \"ollama\"; base_url = \"http://h\"; endpoints = ( { path = \"/v1/messages/count_tokens\"; } ); }; };\n"),
			"2: providers.a.endpoints[0] is about /v1/embeddings, which a provider of dialect anthropic does not have\n"
			"3: providers.c.endpoints[0] is about /v1/responses, which a provider of dialect cohere does not have\n"
			"4: providers.g.endpoints[0] is about /v1/rerank, which a provider of dialect gemini does not have\n"
			"5: providers.o.endpoints[0] is about /v1/messages/count_tokens, which a provider of dialect ollama does not have" },
		{ "path_at_gemini",
			STR("providers: { g: { dialect = \"gemini\"; base_url = \"http://h\"; version = \"1\"; endpoints = (\n"
			    "\t{ path = \"/v1/chat/completions\"; upstream_path = \"/x\"; },\n"
			    "\t{ path = \"/v1/messages\"; method = \"POST\"; } ); }; };\n"),
			"2: providers.g.endpoints[0].upstream_path means nothing to a provider of dialect gemini\n"
			"3: providers.g.endpoints[1].method means nothing to a provider of dialect gemini\n"
			"1: providers.g.version means nothing to a provider of dialect gemini" },
		{ "endpoint_of_echo",
			STR("providers: { e: { dialect = \"echo\"; endpoints = (\n"
			    "\t{ path = \"/v1/messages\"; upstream_path = \"/x\"; },\n"
			    "\t{ path = \"/v1/rerank\"; } ); }; };\n"),
			"2: providers.e.endpoints[0].upstream_path means nothing to a provider of dialect echo\n"
			"3: providers.e.endpoints[1] is about /v1/rerank, which a provider of dialect echo does not have" },

		/* routes */
		{ "routes_group", STR("routes: { };\n" ECHO_),
			"1: routes must be a list ( ... ), not a group" },
		{ "route_text", ROUTES("\"a\""),
			"2: routes[0] must be a group { ... }, not \"a\"" },
		{ "route_without_provider", ROUTES("{ model = \"a\"; }"),
			"2: routes[0] names no provider" },
		{ "route_of_no_such_provider", ROUTES("{ model = \"a\"; provider = \"ecco\"; }"),
			"2: routes[0].provider is \"ecco\", which providers does not have: did you mean echo?" },
		{ "route_with_both",
			ROUTES("{ provider = \"echo\"; targets = ( { provider = \"echo\"; } ); }"),
			"2: routes[0] has both provider and targets: one of them is enough" },
		{ "route_without_targets", ROUTES("{ targets = ( ); }"),
			"2: routes[0].targets must name at least one target" },
		{ "route_with_an_empty_model", ROUTES("{ model = \"\"; provider = \"echo\"; }"),
			"2: routes[0].model must not be empty: \"*\" is every model" },
		{ "route_with_a_relative_path", ROUTES("{ path = \"v1/*\"; provider = \"echo\"; }"),
			"2: routes[0].path must begin with / or *, not be \"v1/*\"" },
		{ "target_of_no_such_provider",
			ROUTES("{ targets = ( { provider = \"echo\"; },\n"
			       "\t\t{ provider = \"b\"; } ); }"),
			"3: routes[0].targets[1].provider is \"b\", which providers does not have: add it there, or name one that it has" },
		{ "target_without_provider", ROUTES("{ targets = ( { model = \"a\"; } ); }"),
			"2: routes[0].targets[0] names no provider" },
		{ "target_weight_zero",
			ROUTES("{ targets = ( { provider = \"echo\"; weight = 0; } ); }"),
			"2: routes[0].targets[0].weight must be 1 to 1000, not 0" },
		{ "target_weight_too_large",
			ROUTES("{ targets = ( { provider = \"echo\"; weight = 1001; } ); }"),
			"2: routes[0].targets[0].weight must be 1 to 1000, not 1001" },
		{ "target_text", ROUTES("{ targets = ( \"echo\" ); }"),
			"2: routes[0].targets[0] must be a group { ... }, not \"echo\"" },
		{ "targets_text", ROUTES("{ targets = \"echo\"; }"),
			"2: routes[0].targets must be a list ( ... ), not \"echo\"" },
	};

#define CASES (sizeof cases / sizeof cases[0])

struct told {
	char text[8192];
	size_t len;
	unsigned n;
};

static void
collect(void *ctx, const char *file, unsigned line, const char *text)
{
	struct told *t = ctx;

	ck_assert_str_eq(file, "/nonexistent/t.conf");
	t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len, "%s%u: %s",
		t->n > 0 ? "\n" : "", line, text);
	ck_assert_uint_lt(t->len, sizeof t->text);
	t->n++;
}

static struct conf *
load(struct str text, struct told *t)
{
	struct conf_options o = { .path = "/nonexistent/t.conf" };

	*t = (struct told){ .n = 0 };
	return conf_load_text(&o, text, collect, t);
}

START_TEST(each_has_its_messages)
{
	for (size_t i = 0; i < CASES; i++) {
		struct told t;

		ck_assert_msg(!load(cases[i].text, &t), "%s was loaded", cases[i].name);
		ck_assert_msg(strcmp(t.text, cases[i].messages) == 0, "%s:\n%s\nwanted:\n%s",
			cases[i].name, t.text, cases[i].messages);
		ck_assert_uint_eq(mem_used(), 0);
	}
}
END_TEST

START_TEST(no_message_shows_a_secret)
{
	for (size_t i = 0; i < CASES; i++) {
		struct told t;

		load(cases[i].text, &t);
		ck_assert_msg(!strstr(t.text, "secret") && !strstr(t.text, "hunter2"), "%s: %s",
			cases[i].name, t.text);
	}
}
END_TEST

/* Cut after any byte, a text is refused with a message or loads; nothing is left either way. */
START_TEST(cut_anywhere)
{
	static const char text[] =
		"workers = 2; /* c */\nlog: { level = \"info\"; }; # c\nproviders: { e: { dialect = \"echo\"; "
		"models = [ \"a\", \"b\\x41\" ]; }; };\nroutes = ( { model = \"*\"; targets = ( { provider = \"e\"; weight = 2; } ); } );";

	for (size_t len = 0; len < sizeof text; len++) {
		struct told t;
		struct conf *c = load((struct str){ text, len }, &t);

		ck_assert_msg(!c == (t.n > 0), "%zu bytes", len);
		conf_free(c);
		ck_assert_uint_eq(mem_used(), 0);
	}
}
END_TEST

/* Every allocation fails in its turn. */
START_TEST(out_of_memory)
{
	struct str text = STR(
		"workers = 2;\n" ECHO_ "routes = ( { model = \"a\"; provider = \"echo\"; } );\n");
	struct told t;
	size_t n;
	struct conf *c = NULL;

	for (n = 1; !c && n < 100; n++) {
		mem_fail_after(n);
		c = load(text, &t);
		mem_fail_after(0);
		if (!c) {
			ck_assert_uint_eq(t.n, 1);
			ck_assert_ptr_nonnull(strstr(t.text, "out of memory"));
			ck_assert_uint_eq(mem_used(), 0);
		}
	}
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_gt(n, 4);
	conf_free(c);
}
END_TEST

UNIT_MAIN("config/conf_bad", each_has_its_messages, no_message_shows_a_secret, cut_anywhere,
	out_of_memory)
