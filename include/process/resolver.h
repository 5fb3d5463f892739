/*
 * resolver: the only process that asks for names. It keeps the address table of its generation
 * fresh until its master ends it.
 */
#ifndef PROCESS_RESOLVER_H
#define PROCESS_RESOLVER_H

#include "process/privilege.h"
#include "shared/address.h"

struct sink;

struct resolver_start {
	struct address_table *table;
	const struct account *account;
	struct sink *log;
	int channel;
};

/* Does any entry of the table have a name to resolve? */
bool resolver_needed(const struct address_table *t);
/* Run until TERM or the master's death. The exit status of the process. */
int resolver_run(const struct resolver_start *start);

#endif
