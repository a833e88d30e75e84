// SPDX-License-Identifier: GPL-2.0-only
/*
 * The .xz stream, unpacked by threads of its own: one always, so that files are
 * written meanwhile, and more where the stream has blocks that say their size.
 */

#include <lzma.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kheaders.h"

#define SLOTS		8
#define SLOT_SIZE	(128 << 10)

/* What a dictionary may claim, and what blocks in parallel may together. */
#define MEMORY_MOST	(512ull << 20)
#define MEMORY_PARALLEL	(192ull << 20)

struct stream {
	lzma_stream lzma;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned char *slots;
	size_t filled[SLOTS];
	unsigned int written, read;	/* slots so far */
	bool reading;			/* the reader has slot @read */
	bool stop;
	bool ended;
	lzma_ret result;
};

/* Fills a slot. Returns false at the end. */
static bool fill(struct stream *s, unsigned int slot)
{
	s->lzma.next_out = s->slots + (size_t)slot * SLOT_SIZE;
	s->lzma.avail_out = SLOT_SIZE;
	do {
		s->result = lzma_code(&s->lzma, LZMA_FINISH);
	} while (s->result == LZMA_OK && s->lzma.avail_out);
	s->filled[slot] = SLOT_SIZE - s->lzma.avail_out;
	return s->result == LZMA_OK;
}

static void *decode(void *arg)
{
	struct stream *s = arg;
	bool more = true;

	pthread_mutex_lock(&s->lock);
	while (more && !s->stop) {
		if (s->written - s->read == SLOTS) {
			pthread_cond_wait(&s->changed, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		more = fill(s, s->written % SLOTS);
		pthread_mutex_lock(&s->lock);
		s->written++;
		s->ended = !more;
		pthread_cond_signal(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static lzma_ret start(struct stream *s, unsigned int threads)
{
#if LZMA_VERSION >= 50040002
	lzma_mt mt = {
		.threads = threads,
		.memlimit_threading = MEMORY_PARALLEL,
		.memlimit_stop = MEMORY_MOST,
	};

	if (threads > 1)
		return lzma_stream_decoder_mt(&s->lzma, &mt);
#endif
	return lzma_stream_decoder(&s->lzma, MEMORY_MOST, 0);
}

/**
 * stream_open - start unpacking
 * @stream: gets the stream
 * @data: an .xz file, which has to stay
 * @size: its bytes
 * @threads: how many blocks to unpack at a time
 */
int stream_open(struct stream **stream, const void *data, size_t size,
		unsigned int threads)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		goto no_memory;
	s->lzma = (lzma_stream)LZMA_STREAM_INIT;
	s->lzma.next_in = data;
	s->lzma.avail_in = size;
	s->slots = malloc((size_t)SLOTS * SLOT_SIZE);
	if (!s->slots || start(s, threads) != LZMA_OK)
		goto free_stream;
	if (pthread_mutex_init(&s->lock, NULL))
		goto free_stream;
	if (pthread_cond_init(&s->changed, NULL))
		goto destroy_mutex;
	if (pthread_create(&s->thread, NULL, decode, s))
		goto destroy_cond;
	*stream = s;
	return 0;

destroy_cond:
	pthread_cond_destroy(&s->changed);
destroy_mutex:
	pthread_mutex_destroy(&s->lock);
free_stream:
	lzma_end(&s->lzma);
	free(s->slots);
	free(s);
no_memory:
	return complain(STATUS_FAILED, "not enough memory, or too many threads");
}

/* What is wrong with a stream that has ended. */
static const char *error_of(const struct stream *s)
{
	switch (s->result) {
	case LZMA_OK:
		return NULL;
	case LZMA_STREAM_END:
		return s->lzma.avail_in ? "something stands behind the archive" : NULL;
	case LZMA_BUF_ERROR:
		return "cut short";
	case LZMA_MEMLIMIT_ERROR:
		return "asks for more than 512 MiB of memory";
	case LZMA_MEM_ERROR:
		return out_of_memory;
	case LZMA_FORMAT_ERROR:
		return "not an .xz file";
	case LZMA_OPTIONS_ERROR:
		return "compressed in a way that this liblzma does not know";
	default:
		return "damaged";
	}
}

/**
 * stream_read - the next bytes
 * @s: the stream
 * @data: gets a pointer to them, valid until the next call
 *
 * Returns: how many; 0 at the end of a stream that is whole; -1 where it is
 * damaged, see stream_error().
 */
ssize_t stream_read(struct stream *s, const void **data)
{
	ssize_t size = 0;
	unsigned int slot;

	pthread_mutex_lock(&s->lock);
	if (s->reading) {
		s->reading = false;
		s->read++;
		pthread_cond_signal(&s->changed);
	}
	while (!size) {
		while (s->read == s->written && !s->ended)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->read == s->written) {
			size = error_of(s) ? -1 : 0;
			break;
		}
		slot = s->read % SLOTS;
		size = s->filled[slot];
		if (size) {
			s->reading = true;
			*data = s->slots + (size_t)slot * SLOT_SIZE;
		} else {
			s->read++;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return size;
}

/**
 * stream_error - what is wrong with the stream, as far as it was unpacked
 * @s: the stream
 *
 * Returns: NULL if nothing is.
 */
const char *stream_error(struct stream *s)
{
	const char *error = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->ended)
		error = error_of(s);
	pthread_mutex_unlock(&s->lock);
	return error;
}

/**
 * stream_close - end it, also before all is read
 * @s: the stream
 */
void stream_close(struct stream *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	lzma_end(&s->lzma);
	free(s->slots);
	free(s);
}

/**
 * stream_unpacked_size - what the index of an .xz file says
 * @data: the file
 * @size: its bytes
 *
 * Returns: bytes, 0 if it cannot be told.
 */
uint64_t stream_unpacked_size(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t limit = 16 << 20, unpacked = 0;
	lzma_index *index = NULL;
	lzma_stream_flags flags;
	size_t at = 0;

	if (size < 2 * LZMA_STREAM_HEADER_SIZE)
		return 0;
	size -= LZMA_STREAM_HEADER_SIZE;
	if (lzma_stream_footer_decode(&flags, bytes + size) != LZMA_OK ||
	    flags.backward_size > size)
		return 0;
	if (lzma_index_buffer_decode(&index, &limit, NULL,
				     bytes + size - flags.backward_size, &at,
				     flags.backward_size) != LZMA_OK)
		return 0;
	unpacked = lzma_index_uncompressed_size(index);
	lzma_index_end(index, NULL);
	return unpacked;
}
