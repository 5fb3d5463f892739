/*
 * peer: Jansson, the DOM library that json/read is held against in the tests and in the bench. Some
 * of its names are ours too, so they get another one here: the peer's enumerators are PEER_OBJECT
 * and so on. At run time the two do not meet: Jansson's shared library is linked so that it calls
 * its own functions.
 */
#ifndef PEER_H
#define PEER_H

#define json_type peer_type
#define json_string peer_string
#define JSON_OBJECT PEER_OBJECT
#define JSON_ARRAY PEER_ARRAY
#define JSON_STRING PEER_STRING
#define JSON_TRUE PEER_TRUE
#define JSON_FALSE PEER_FALSE
#define JSON_NULL PEER_NULL
#include <jansson.h>
#undef json_type
#undef json_string
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

#endif
