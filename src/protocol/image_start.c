/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/image_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"

#define START_MAX (1u << 20)

/* A list of strings without a zero in them; -EINVAL: it is none. */
static int read_words(const json_t *json, const char ***words)
{
	const size_t count = json_array_size(json);

	if (json && !json_is_array(json))
		return -EINVAL;
	*words = calloc(count + 1, sizeof **words);
	if (!*words)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *word = json_array_get(json, i);

		(*words)[i] = json_string_value(word);
		if (!(*words)[i] || strlen((*words)[i]) != json_string_length(word))
			return -EINVAL;
	}
	return 0;
}

void image_start_free(struct image_start *start)
{
	free(start->argv);
	free(start->env);
	json_decref(start->json);
	*start = (struct image_start){.user = "", .folder = ""};
}

int image_start_read_file(int fd, const char *name, struct image_start *start, struct error *err)
{
	char *text = NULL;
	size_t size;
	int r = io_read_file(fd, START_MAX, &text, &size);

	*start = (struct image_start){.user = "", .folder = ""};
	if (r)
		return error_set(err, -r, "%s: %s", name, strerror(-r));
	start->json = json_parse(text, size, name, err);
	free(text);
	if (!start->json)
		return -EINVAL;
	r = read_words(json_object_get(start->json, "entrypoint"), &start->argv);
	if (!r)
		r = read_words(json_object_get(start->json, "env"), &start->env);
	start->user = json_get_text(start->json, "user");
	start->folder = json_get_text(start->json, "workdir");
	for (const char **word = start->env; !r && *word; word++)
		if (**word == '=' || !strchr(*word, '='))
			r = -EINVAL;
	if (!r)
		return 0;
	image_start_free(start);
	return error_set(err, -r, "%s: %s", name,
		r == -EINVAL ? "not as it was written" : strerror(-r));
}

int image_start_read(const char *image, struct image_start *start, struct error *err)
{
	char *path;
	int fd, r;

	*start = (struct image_start){.user = "", .folder = ""};
	if (asprintf(&path, "%s/" IMAGE_START, image) < 0)
		return error_nomem(err);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		r = image_start_read_file(fd, path, start, err);
	else if (errno != ENOENT)
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
	else
		r = read_words(NULL, &start->argv) || read_words(NULL, &start->env)
			? error_nomem(err)
			: 0;
	if (fd >= 0)
		close(fd);
	free(path);
	return r;
}

/* Strings of both lists; what is none is left out. */
static json_t *join(const json_t *first, const json_t *second)
{
	json_t *all = json_array();
	const json_t *list[] = {first, second};

	for (unsigned k = 0; k < 2; k++)
		for (size_t i = 0; i < json_array_size(list[k]); i++)
			if (json_is_string(json_array_get(list[k], i)))
				json_array_append(all, json_array_get(list[k], i));
	return all;
}

json_t *image_start_of(const json_t *config)
{
	return json_pack("{s:o, s:o, s:s, s:s}", "entrypoint",
		join(json_object_get(config, "Entrypoint"), json_object_get(config, "Cmd")), "env",
		join(json_object_get(config, "Env"), NULL), "user", json_get_text(config, "User"),
		"workdir", json_get_text(config, "WorkingDir"));
}
