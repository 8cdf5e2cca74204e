/* SPDX-License-Identifier: MIT */
/* Names of the drop reasons. */
#include "tcpstack/drop.h"

#include "src/base/base.h"

static const struct {
	const char *name;
	const char *text;
} reasons[] = {
#define X(id, name, text) { name, text },
	DROP_REASONS(X)
#undef X
};

static_assert(ARRAY_SIZE(reasons) == DROP_REASON_COUNT, "a name for each reason");

/**
 * drop_name() - the stable label of @reason, for metrics; any thread
 */
const char *drop_name(enum drop_reason reason)
{
	return reason < DROP_REASON_COUNT ? reasons[reason].name : "none";
}

/**
 * drop_text() - @reason in a few words, for people; any thread
 */
const char *drop_text(enum drop_reason reason)
{
	return reason < DROP_REASON_COUNT ? reasons[reason].text : "not dropped";
}
