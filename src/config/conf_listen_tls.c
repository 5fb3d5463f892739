/*
 * conf_listen_tls: the group `tls` of a listener.
 *
 * Called by conf_listen for each listener once all of the file is read. Makes its TLS context, with
 * the rights of whoever reads the configuration: the master, as root, or -t. What is wrong with a
 * file is told at the name of its setting, an error or a warning as net/tls_server says; a reload
 * with an error changes nothing, and the context is freed with the rest of what was read.
 */
#include "config/conf_private.h"

#include "net/tls_server.h"

struct place_of_tls {
	struct conf_loader *loader;
	config_setting_t *group;
};

static void
report(void *ctx, enum tls_setting setting, bool is_error, const char *text)
{
	static const char *const names[] = {
		[TLS_CERTIFICATE_FILE] = "certificate_file",
		[TLS_KEY_FILE] = "key_file",
		[TLS_CLIENT_CA_FILE] = "client_ca_file",
	};
	const struct place_of_tls *p = ctx;
	config_setting_t *s = conf_named(p->group, names[setting]);

	if (is_error)
		conf_error(p->loader, s, "%s", text);
	else
		conf_warn(s, text);
}

void
conf_listen_tls(struct conf_loader *l, config_setting_t *s, struct conf_listen *li)
{
	struct tls_server_settings settings = { .certificate_file = li->certificate_file,
		.key_file = li->key_file,
		.client_ca_file = li->client_ca_file };
	struct place_of_tls place = { .loader = l, .group = conf_member(s, "tls") };

	if (!place.group || !config_setting_is_group(place.group))
		return;
	if (li->certificate_file.len > 0)
		li->tls = tls_server_new(&settings, report, &place);
	else if (!conf_slipped(place.group, SCOPE_LISTEN_TLS, "certificate_file"))
		conf_error(l, conf_named(place.group, "certificate_file"),
			"%sa certificate_file, a PEM file with the certificate of this server%s",
			conf_member(place.group, "certificate_file") ? "is empty: tls needs "
								     : "needs ",
			li->key_file.len > 0 ? " that key_file belongs to" : "");
}
