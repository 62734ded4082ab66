/* libopus as a C program calls it, over a whole clip, for bench/opus_speed.py: linked with the very libopus.a that is
   built into antiphon._native, and loaded into the same process, so that both run interleaved on one core. */

#include <opus.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

const char *version(void)
{
    return opus_get_version_string();
}

void *make_encoder(int rate, int channels, int application, int bitrate, int complexity)
{
    int error;
    OpusEncoder *encoder = opus_encoder_create(rate, channels, application, &error);
    if (!encoder)
        return 0;
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(bitrate));
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(complexity));
    opus_encoder_ctl(encoder, OPUS_SET_VBR_CONSTRAINT(0));
    return encoder;
}

void *make_decoder(int rate, int channels)
{
    int error;
    return opus_decoder_create(rate, channels, &error);
}

/* Seconds of CPU that encoding took. Packet i is put at packets + i * room, its length into lengths[i]. */
double encode(void *encoder, const short *pcm, int frames, int frame, int channels, unsigned char *packets, int room,
              int *lengths)
{
    double began = now();
    for (int i = 0; i < frames; i++)
        lengths[i] = opus_encode(encoder, pcm + (long)i * frame * channels, frame, packets + (long)i * room, room);
    return now() - began;
}

/* Seconds of CPU that decoding took; -1 where not every packet gave a whole frame. */
double decode(void *decoder, const unsigned char *packets, int count, int room, const int *lengths, short *out,
              int frame)
{
    double began = now();
    int samples = 0;
    for (int i = 0; i < count; i++)
        samples += opus_decode(decoder, packets + (long)i * room, lengths[i], out, frame, 0);
    return samples == count * frame ? now() - began : -1;
}

void destroy(void *encoder, void *decoder)
{
    opus_encoder_destroy(encoder);
    opus_decoder_destroy(decoder);
}
