/*
 * master: the process that binds, forks, supervises and obeys signals. It moves no request bytes.
 */
#ifndef PROCESS_MASTER_H
#define PROCESS_MASTER_H

#include "config/conf.h"
#include "process/program.h"

/*
 * Run until told to end. `o->path` must be absolute; `report` is told the errors of the start
 * (later ones go to the log, as all do of a master that was started to take over). The exit status
 * of the process; with o->detach, of the process in the background.
 */
int master_run(const struct conf_options *o, const struct program *program, conf_report *report);

#endif
