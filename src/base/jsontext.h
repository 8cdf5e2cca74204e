/* SPDX-License-Identifier: MIT */
/* Text inside a JSON string, written without a parser and without memory of its own. */
#ifndef SLUICE_BASE_JSONTEXT_H
#define SLUICE_BASE_JSONTEXT_H

#include <stddef.h>

/* The longest that one byte of input becomes. */
#define JSON_TEXT_MAX 6

/* jsontext.c */
size_t json_text(char *out, size_t room, const char *s, size_t len);

#endif
