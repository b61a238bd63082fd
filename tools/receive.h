/* What classify and listen share: where the model lies, and a classifier and receiver for one
 * source. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_RECEIVE_H
#define AT_TOOLS_RECEIVE_H

#include "lib/base/limits.h"
#include "lib/cli/options.h"
#include "lib/engine/engine.h"
#include "lib/source/source.h"

/* 0, or the exit code once it is said that center_hz lacks its unit (at_value_lacks_unit). */
int at_refuse_bare(const struct at_command *c, double center_hz);
/* Written to out (n bytes): path where given, else $ATTUNE_MODEL, else
 * models/attune-base.safetensors of the build tree that the program stands in, else the installed
 * one. 0, or -ENOENT with err listing where it looked. */
int at_model_path(const char *path, char *out, size_t n, struct at_error *err);
/* $XDG_CACHE_HOME/attune or ~/.cache/attune, made where missing; false: there is none. */
bool at_cache_path(char *out, size_t n);

struct at_reception {
    const char *model, *backend; /* NULL: default, auto */
    uint32_t window;             /* 0: the model's */
    double blanker_db;           /* 0: none */
    bool live;
    struct at_mem mem;
    struct at_classifier *classifier;
    struct at_bandplan *bandplan;
    struct at_receiver *receiver;
};

/* Rows of an option table for the at_reception that is `member` of the values `type`. */
#define AT_RECEPTION_OPTIONS(type, member)                                                         \
    {"model",        'm',                                                                          \
     AT_OPTION_TEXT, offsetof(type, member.model),                                                 \
     "FILE",         "model; else $ATTUNE_MODEL, else the one shipped"},                           \
        {"backend",                                                                                \
         'b',                                                                                      \
         AT_OPTION_TEXT,                                                                           \
         offsetof(type, member.backend),                                                           \
         "NAME",                                                                                   \
         "attention backend; $ATTUNE_BACKEND wins, else auto",                                     \
         .choices = "auto,mha,flash,gqa,latent"},                                                  \
        {"window",                                                                                 \
         'w',                                                                                      \
         AT_OPTION_COUNT,                                                                          \
         offsetof(type, member.window),                                                            \
         "TOKENS",                                                                                 \
         "how far the model looks back; else as far as the model was made for",                    \
         32,                                                                                       \
         16384},                                                                                   \
    {                                                                                              \
        "blanker", 'n', AT_OPTION_NUMBER, offsetof(type, member.blanker_db), "DB",                 \
            "noise blanker: take out pulses of up to 0.5 ms that stand so far over the band's "    \
            "running median, 9 to 40; 12 "                                                         \
            "is a good start",                                                                     \
            AT_BLANKER_MIN_DB, AT_BLANKER_MAX_DB                                                   \
    }

/* Model and classifier. */
int at_reception_open(struct at_reception *r, struct at_error *err);
/* The receiver for what the source says it delivers. boot, radio: names for results. */
int at_reception_start(struct at_reception *r, const struct at_source_info *info, const char *boot,
                       const char *radio, const struct at_receiver_sink *sink,
                       struct at_error *err);
void at_reception_close(struct at_reception *r);

/* Set by SIGINT and SIGTERM after at_catch_signals(). */
extern volatile int at_interrupted;
void at_catch_signals(void);

#endif
