// SPDX-License-Identifier: GPL-2.0-only
/* kheaders info */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kheaders.h"

/* Bytes of the UTF-8 character that begins there, 0 if none does. */
static size_t character_length(const unsigned char *c)
{
	size_t length = *c < 0x80 ? 1 : *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < length; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* too long a form, UTF-16's surrogates, and what is beyond Unicode */
	if ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] >= 0xa0) ||
	    (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] >= 0x90) || *c > 0xf4)
		return 0;
	return length;
}

static void print_string(const char *text)
{
	size_t length;

	putchar('"');
	for (const unsigned char *c = (const void *)text; *c; c += length ? length : 1) {
		length = character_length(c);
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (!length)
			fputs("\\ufffd", stdout);
		else if (is_control((const char *)c, 0))
			printf("\\u%04x", c[length - 1]);
		else
			fwrite(c, length, 1, stdout);
	}
	putchar('"');
}

struct report {
	bool json;
	bool begun;
};

static void print_key(struct report *r, const char *key)
{
	if (r->json)
		printf("%s\n  \"%s\": ", r->begun ? "," : "{", key);
	else
		printf("%s: ", key);
	r->begun = true;
}

static void say(struct report *r, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	print_key(r, key);
	if (r->json) {
		print_string(value);
		return;
	}
	for (size_t i = 0; value[i]; i++)
		putchar(is_control(value, i) ? '?' : value[i]);
	putchar('\n');
}

static void say_number(struct report *r, const char *key, unsigned long long value)
{
	print_key(r, key);
	printf(r->json ? "%llu" : "%llu\n", value);
}

/* The value of a line "key: value", to free(), or NULL. */
static char *value_of(const char *about, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = about; line && *line; ) {
		const char *end = line + strcspn(line, "\n");

		if (!strncmp(line, key, length) && !strncmp(line + length, ": ", 2))
			return strndup(line + length + 2, end - line - length - 2);
		line = *end ? end + 1 : end;
	}
	return NULL;
}

static void say_about(struct report *r, const char *about, const char *key, const char *otherwise)
{
	char *value = value_of(about, key);

	say(r, key, value ? value : otherwise);
	free(value);
}

static const char *kind_of(const struct source *source)
{
	switch (source->kind) {
	case SOURCE_SYSFS:
		return "running kernel";
	case SOURCE_MODULE:
		return "module, loaded to read it";
	case SOURCE_FILE:
		return "file";
	default:
		return "directory: no archive that could be read";
	}
}

/**
 * info_print - say what there is
 * @options: --from and --json
 */
int info_print(const struct options *options)
{
	struct report r = { .json = options->json };
	struct tree tree = { 0 };
	struct source source;
	int ret;

	ret = source_find(&source, options);
	if (!ret)
		ret = source_read(&source, options);
	if (!ret && source.kind != SOURCE_BUILD)
		ret = tree_read(&source.archive, source.name, -1, options, &tree);
	if (ret)
		goto out;

	say(&r, "source", source.name);
	say(&r, "kind", kind_of(&source));
	if (source.kind != SOURCE_BUILD) {
		say_about(&r, tree.about, "release", tree.release);
		say_about(&r, tree.about, "architecture", tree.arch);
		say_about(&r, tree.about, "profile", tree.has_modpost ? "modules" : "headers");
		say_about(&r, tree.about, "compiler", NULL);
		say_about(&r, tree.about, "symbols", NULL);
		say_about(&r, tree.about, "symbol-versions", NULL);
		say(&r, "flags", tree.has_flags ? "compile_flags.txt" : "worked out");
		say_number(&r, "compressed-bytes", source.archive.size);
		say_number(&r, "unpacked-bytes", tree.bytes);
		say_number(&r, "files", tree.count);
		say_number(&r, "directories", tree.directories);
		say(&r, "sha256", source.hash);
	}
	if (r.json)
		puts("\n}");
out:
	tree_release(&tree);
	source_release(&source);
	return ret;
}
