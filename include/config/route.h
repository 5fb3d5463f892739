/*
 * route: from (path, model) to the targets that may serve it. Pure: reads the sealed configuration
 * only.
 */
#ifndef CONFIG_ROUTE_H
#define CONFIG_ROUTE_H

#include "config/conf.h"

struct route_match {
	const struct conf_target *targets;
	size_t n_targets;
	uint32_t weights;
	uint16_t label;         /* of the route's pattern of models; 0 for "provider/model" */
	struct conf_target one; /* storage for "provider/model" */
};

/*
 * First match of: the routes; then "provider/model". `model` p NULL: the request names none; then
 * only routes with model "*" match. True when found; `targets` may point into `m` itself, which
 * must therefore not be moved.
 */
bool route_find(const struct conf *c, struct str path, struct str model, struct route_match *m);
/* Choose by weight; `random` any 32-bit number. */
const struct conf_target *route_choose(const struct route_match *m, uint32_t random);
/* The model's name at the target: its own, else model_map (first `from` that equals), else the
 * client's. */
struct str route_model(const struct conf_target *t, struct str model);

/* May the client use the model? `c` NULL: everyone is admitted. `model` p NULL: none is named,
 * which only a pattern "*" admits. */
bool route_admits(const struct conf_client *c, struct str model);

#endif
