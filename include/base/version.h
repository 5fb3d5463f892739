/*
 * version: the one place for the name and number of this program.
 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define VERSION "0.1.0"

#endif
