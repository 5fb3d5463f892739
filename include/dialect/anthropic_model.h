/*
 * anthropic_model: what Anthropic's models differ in, by their names.
 */
#ifndef DIALECT_ANTHROPIC_MODEL_H
#define DIALECT_ANTHROPIC_MODEL_H

#include "base/str.h"

/* All false is what a name gets that is not known: it thinks adaptively. */
struct anthropic_model {
	bool budget; /* it thinks within a budget, not adaptively */
	bool no_sampling;
	bool always_thinks; /* it refuses thinking disabled */
	bool no_forced_tools;
	bool no_structured_output; /* it takes no schema of its answer */
};

struct anthropic_model anthropic_model_of(struct str name);

#endif
