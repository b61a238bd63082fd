/* Every call on SoapySDR, and nothing else: the driver that the radio loop runs. The only file that
 * includes its headers. All functions of the table are called by one thread (Device.h: "not
 * required to have internal locking"). SPDX-License-Identifier: GPL-3.0-or-later */
#include <SoapySDR/Constants.h>
#include <SoapySDR/Device.h>
#include <SoapySDR/Errors.h>
#include <SoapySDR/Formats.h>
#include <SoapySDR/Logger.h>
#include <SoapySDR/Modules.h>
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/source/radio.h"
#include "lib/source/recording.h"

#define RATE_TOLERANCE 0.01 /* of the rate asked for; what is nearer is taken over and said */
#define BUFFER_S       0.010
#define USB_BLOCK      16384 /* bytes; librtlsdr's transfers are multiples of it */
#define BUFFER_SAMPLES 1024
#define MTU_DEFAULT    16384
#define DEVICES_MAX    256

struct at_driver {
    SoapySDRDevice *dev;
    SoapySDRStream *stream;
    const struct at_soapy_options *options;
    size_t channel;
    double ppm; /* applied by us; 0 where the device corrects itself */
    bool active, polls_status, has_gain;
    bool sized; /* its buffers are made for the rate */
};

/* ---- modules: loaded by name, so that one driver does not bring in seventy libraries ---- */

static pthread_mutex_t modules_lock = PTHREAD_MUTEX_INITIALIZER;
static char newest_complaint[200]; /* from a driver's own log */
static pthread_mutex_t complaint_lock = PTHREAD_MUTEX_INITIALIZER;

/* The helper's standard error is our log; the newest error is kept for the text as well. */
static void on_log(const SoapySDRLogLevel level, const char *message)
{
    if (level <= SOAPY_SDR_INFO)
        fprintf(stderr, "%s\n", message);
    if (level > SOAPY_SDR_ERROR)
        return;
    pthread_mutex_lock(&complaint_lock);
    at_recording_copy_text(newest_complaint, sizeof newest_complaint, message);
    pthread_mutex_unlock(&complaint_lock);
}

static void take_complaint(char out[200])
{
    pthread_mutex_lock(&complaint_lock);
    memcpy(out, newest_complaint, sizeof newest_complaint);
    newest_complaint[0] = 0;
    pthread_mutex_unlock(&complaint_lock);
}

static bool contains_nocase(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (; *text; text++)
        if (strncasecmp(text, word, n) == 0)
            return true;
    return false;
}

/* Modules are named after their driver (librtlsdrSupport.so), with exceptions. */
static bool module_is_for(const char *path, const char *driver)
{
    static const char *const exceptions[][2] = {
        {"lime", "LMS7"}, {"plutosdr", "Pluto"}, {"sdrplay", "sdrPlay"}};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (strcasecmp(driver, exceptions[i][0]) == 0 && contains_nocase(name, exceptions[i][1]))
            return true;
    char word[64];
    snprintf(word, sizeof word, "%.48sSupport", driver);
    return contains_nocase(name, word);
}

/* Loads what stands in the folder for driver (NULL: all). Returns how many modules fit; those that
 * are loaded already say so in an error that is no harm. */
static size_t load_folder(const char *folder, const char *driver, char broken[200])
{
    size_t n = 0, fit = 0;
    char **paths = SoapySDR_listModulesPath(folder, &n);
    for (size_t i = 0; paths && i < n; i++) {
        if (driver && !module_is_for(paths[i], driver))
            continue;
        char *message = SoapySDR_loadModule(paths[i]);
        fit++;
        if (message && *message && !strstr(message, "already loaded"))
            at_recording_copy_text(broken, 200, message);
        SoapySDR_free(message);
    }
    SoapySDRStrings_clear(&paths, n);
    return fit;
}

/* Debian's package with a driver's module. */
static const char *package_of(const char *driver, char out[64])
{
    bool ours = !strcmp(driver, "attunesim");
    snprintf(out, 64, "%s%.40s", ours ? "attune-sim" : "soapysdr-module-", ours ? "" : driver);
    return out;
}

/* broken: why a module could not be loaded, or "". */
static size_t load_modules(const char *driver, const char *const *folders, char broken[200])
{
    size_t fit = 0, n = 0;
    broken[0] = 0;
    pthread_mutex_lock(&modules_lock);
    SoapySDR_registerLogHandler(on_log);
    for (size_t i = 0; folders && folders[i]; i++)
        fit += load_folder(folders[i], driver, broken);
    char **paths = SoapySDR_listSearchPaths(&n);
    for (size_t i = 0; paths && i < n && !(driver && fit); i++)
        fit += load_folder(paths[i], driver, broken);
    SoapySDRStrings_clear(&paths, n);
    pthread_mutex_unlock(&modules_lock);
    return fit;
}

/* ---- setting a device up ---- */

/* What went wrong, by the library and by the driver's log. */
static int fail(struct at_error *err, int code, const char *device, const char *what)
{
    char log[200];
    take_complaint(log);
    const char *last = SoapySDRDevice_lastError();
    return at_error_set(err, code, "%.120s: %s%s%.120s%s%.120s", device, what,
                        last && *last ? ": " : "", last ? last : "", log[0] ? "; driver: " : "",
                        log);
}

static int set_rate(struct at_driver *d, double rate_hz, struct at_error *err,
                    struct at_driver_info *info)
{
    if (SoapySDRDevice_setSampleRate(d->dev, SOAPY_SDR_RX, d->channel, rate_hz) != 0) {
        char what[80];
        snprintf(what, sizeof what, "refuses a rate of %.0f S/s", rate_hz);
        return fail(err, -EINVAL, d->options->device, what);
    }
    double got = SoapySDRDevice_getSampleRate(d->dev, SOAPY_SDR_RX, d->channel);
    if (!(fabs(got - rate_hz) <= RATE_TOLERANCE * rate_hz))
        return at_error_set(
            err, -EINVAL, "%.120s: asked for %.0f S/s, the device gives %.0f; choose a rate it has",
            d->options->device, rate_hz, got);
    if (fabs(got - rate_hz) > 0.5)
        snprintf(info->message, sizeof info->message, "asked for %.0f S/s, the device gives %.1f",
                 rate_hz, got);
    info->rate_hz = got;
    return 0;
}

static int set_frequency(struct at_driver *d, double center_hz, const char *device,
                         struct at_error *err)
{
    double want = center_hz * (1 + d->ppm * 1e-6);
    if (SoapySDRDevice_setFrequency(d->dev, SOAPY_SDR_RX, d->channel, want, NULL) != 0) {
        char what[80];
        snprintf(what, sizeof what, "refuses a frequency of %.0f Hz", center_hz);
        return fail(err, -EINVAL, device, what);
    }
    double got = SoapySDRDevice_getFrequency(d->dev, SOAPY_SDR_RX, d->channel);
    if (SoapySDRDevice_lastStatus() == 0 && !(fabs(got - want) <= 1e3 + 1e-4 * fabs(want)))
        return at_error_set(err, -EINVAL,
                            "%.120s: asked for %.0f Hz, the device is at %.0f; out of its range?",
                            device, center_hz, got);
    return 0;
}

/* "LNA=20,VGA=12" */
static int set_gain_elements(struct at_driver *d, const char *gains, const char *device,
                             struct at_error *err)
{
    SoapySDRKwargs list = SoapySDRKwargs_fromString(gains);
    int r = 0;
    for (size_t i = 0; r == 0 && i < list.size; i++) {
        char *end;
        double db = strtod(list.vals[i], &end);
        if (end == list.vals[i] || *end || !isfinite(db) ||
            SoapySDRDevice_setGainElement(d->dev, SOAPY_SDR_RX, d->channel, list.keys[i], db) != 0)
            r = at_error_set(err, -EINVAL, "%.120s: gain element %.40s=%.40s is refused", device,
                             list.keys[i], list.vals[i]);
    }
    SoapySDRKwargs_clear(&list);
    return r;
}

static int set_gain(struct at_driver *d, const struct at_soapy_options *o, struct at_error *err,
                    struct at_driver_info *info)
{
    size_t n = 0;
    char **names = SoapySDRDevice_listGains(d->dev, SOAPY_SDR_RX, d->channel, &n);
    SoapySDRStrings_clear(&names, n);
    d->has_gain = n > 0;
    if (!d->has_gain)
        return 0;
    if (SoapySDRDevice_hasGainMode(d->dev, SOAPY_SDR_RX, d->channel))
        SoapySDRDevice_setGainMode(d->dev, SOAPY_SDR_RX, d->channel, false);
    SoapySDRRange range = SoapySDRDevice_getGainRange(d->dev, SOAPY_SDR_RX, d->channel);
    if (isfinite(range.minimum) && isfinite(range.maximum) && range.maximum > range.minimum) {
        info->gain_min_db = range.minimum;
        info->gain_max_db = range.maximum;
    }
    if (o->gains) {
        int r = set_gain_elements(d, o->gains, o->device, err);
        info->gain_db = SoapySDRDevice_getGain(d->dev, SOAPY_SDR_RX, d->channel);
        return r;
    }
    double db = o->gain_db;
    if (isnan(db))
        db = info->gain_min_db + AT_START_GAIN_SHARE * (info->gain_max_db - info->gain_min_db);
    if (SoapySDRDevice_setGain(d->dev, SOAPY_SDR_RX, d->channel, db) != 0)
        return fail(err, -EINVAL, o->device, "refuses the gain");
    info->gain_db = SoapySDRDevice_getGain(d->dev, SOAPY_SDR_RX, d->channel);
    return 0;
}

/* Drivers name it biastee, bias_tx, biasT_ctrl... One that has none is off. */
static int set_bias_tee(struct at_driver *d, bool on, struct at_error *err)
{
    size_t n = 0;
    bool found = false;
    SoapySDRArgInfo *list = SoapySDRDevice_getSettingInfo(d->dev, &n);
    for (size_t i = 0; list && i < n && !found; i++)
        found = contains_nocase(list[i].key, "bias") &&
                SoapySDRDevice_writeSetting(d->dev, list[i].key, on ? "true" : "false") == 0;
    SoapySDRArgInfoList_clear(list, n);
    return found || !on ? 0
                        : at_error_set(err, -EINVAL, "%.120s: it has no bias tee to switch on",
                                       d->options->device);
}

static int set_settings(struct at_driver *d, const char *settings, const char *device,
                        struct at_error *err)
{
    SoapySDRKwargs list = SoapySDRKwargs_fromString(settings);
    int r = 0;
    for (size_t i = 0; r == 0 && i < list.size; i++)
        if (SoapySDRDevice_writeSetting(d->dev, list.keys[i], list.vals[i]) != 0)
            r = at_error_set(err, -EINVAL, "%.120s: setting %.40s=%.40s is refused", device,
                             list.keys[i], list.vals[i]);
    SoapySDRKwargs_clear(&list);
    return r;
}

static int set_antenna(struct at_driver *d, const char *antenna, const char *device,
                       struct at_error *err)
{
    return SoapySDRDevice_setAntenna(d->dev, SOAPY_SDR_RX, d->channel, antenna) == 0
               ? 0
               : fail(err, -EINVAL, device, "refuses the antenna");
}

/* Where the device does not correct itself, each frequency is set aside. */
static void set_ppm(struct at_driver *d, double ppm)
{
    d->ppm = ppm;
    if (SoapySDRDevice_hasFrequencyCorrection(d->dev, SOAPY_SDR_RX, d->channel) &&
        SoapySDRDevice_setFrequencyCorrection(d->dev, SOAPY_SDR_RX, d->channel, ppm) == 0)
        d->ppm = 0;
}

static int configure(struct at_driver *d, const struct at_soapy_options *o, struct at_error *err,
                     struct at_driver_info *info)
{
    if (d->channel >= SoapySDRDevice_getNumChannels(d->dev, SOAPY_SDR_RX))
        return at_error_set(err, -EINVAL, "%.120s: it has no receive channel %zu", o->device,
                            d->channel);
    if (o->antenna && set_antenna(d, o->antenna, o->device, err) < 0)
        return -EINVAL;
    int r = set_rate(d, o->rate_hz, err, info);
    if (r < 0)
        return r;
    if (o->ppm != 0)
        set_ppm(d, o->ppm);
    r = set_frequency(d, o->center_hz, o->device, err);
    if (r == 0)
        r = set_gain(d, o, err, info);
    if (r == 0 && o->bias_tee)
        r = set_bias_tee(d, o->bias_tee > 0, err);
    if (r == 0 && o->settings)
        r = set_settings(d, o->settings, o->device, err);
    info->center_hz = o->center_hz;
    return r;
}

/* ---- the stream ---- */

static bool gives_format(struct at_driver *d, const char *format)
{
    size_t n = 0;
    bool found = false;
    char **list = SoapySDRDevice_getStreamFormats(d->dev, SOAPY_SDR_RX, d->channel, &n);
    for (size_t i = 0; list && i < n; i++)
        found = found || strcmp(list[i], format) == 0;
    SoapySDRStrings_clear(&list, n);
    return found;
}

static const char *const format_names[] = {SOAPY_SDR_CU8, SOAPY_SDR_CS8, SOAPY_SDR_CS16,
                                           SOAPY_SDR_CF32};

/* The native one where we read it, else the widest integer, else floats. */
static void choose_format(struct at_driver *d, struct at_driver_info *info)
{
    double full_scale = 0;
    char *native =
        SoapySDRDevice_getNativeStreamFormat(d->dev, SOAPY_SDR_RX, d->channel, &full_scale);
    int format = at_iq_format_from_name(native);
    SoapySDR_free(native);
    bool is_native = format >= 0 && format < (int)(sizeof format_names / sizeof *format_names) &&
                     gives_format(d, format_names[format]);
    if (!is_native)
        format = gives_format(d, SOAPY_SDR_CS16) ? AT_IQ_CS16 : AT_IQ_CF32;
    bool sane = is_native && isfinite(full_scale) && full_scale > 0 && full_scale <= 2147483648.0;
    info->format = (enum at_iq_format)format;
    info->full_scale = sane ? full_scale : at_iq_format_full_scale(info->format);
}

/* About 10 ms a buffer where the driver lets one say: librtlsdr's default is 55 ms at 2.4 MS/s. In
 * bytes where the driver says so or says nothing (rtlsdr, miri), else in samples (bladerf: buflen).
 */
static bool set_buffer_length(const SoapySDRArgInfo *info, const struct at_driver_info *of,
                              SoapySDRKwargs *args)
{
    bool bytes = strcmp(info->key, "bufflen") == 0;
    if (!bytes && strcmp(info->key, "buflen") != 0)
        return false;
    if (info->units && contains_nocase(info->units, "sample"))
        bytes = false;
    double block = bytes ? USB_BLOCK : BUFFER_SAMPLES;
    double size = of->rate_hz * BUFFER_S * (bytes ? (double)at_iq_format_size(of->format) : 1);
    char text[32];
    snprintf(text, sizeof text, "%d", (int)(fmax(1, floor(size / block + 0.5)) * block));
    SoapySDRKwargs_set(args, info->key, text);
    return true;
}

/* What the device string says of the stream (remote:prot=tcp, buffers=32) goes to the stream. */
static void set_stream_arguments(struct at_driver *d, const struct at_driver_info *info,
                                 SoapySDRKwargs *args)
{
    size_t n = 0;
    SoapySDRKwargs asked = SoapySDRKwargs_fromString(d->options->device);
    SoapySDRArgInfo *list = SoapySDRDevice_getStreamArgsInfo(d->dev, SOAPY_SDR_RX, d->channel, &n);
    for (size_t i = 0; list && i < n; i++) {
        const char *value = SoapySDRKwargs_get(&asked, list[i].key);
        if (value)
            SoapySDRKwargs_set(args, list[i].key, value);
        else if (set_buffer_length(&list[i], info, args))
            d->sized = true;
    }
    SoapySDRArgInfoList_clear(list, n);
    SoapySDRKwargs_clear(&asked);
}

static int set_up_stream(struct at_driver *d, struct at_error *err, struct at_driver_info *info)
{
    SoapySDRKwargs args = {0};
    set_stream_arguments(d, info, &args);
    d->stream = SoapySDRDevice_setupStream(d->dev, SOAPY_SDR_RX, format_names[info->format],
                                           &d->channel, 1, &args);
    SoapySDRKwargs_clear(&args);
    if (!d->stream)
        return fail(err, -EIO, d->options->device, "gives no stream");
    info->mtu = SoapySDRDevice_getStreamMTU(d->dev, d->stream);
    if (info->mtu == 0 || info->mtu > (1u << 24))
        info->mtu = MTU_DEFAULT;
    return 0;
}

static int activate(struct at_driver *d, struct at_error *err)
{
    if (SoapySDRDevice_activateStream(d->dev, d->stream, 0, 0, 0) != 0)
        return fail(err, -EIO, d->options->device, "does not start");
    d->active = true;
    d->polls_status = true;
    return 0;
}

static int start_stream(struct at_driver *d, struct at_error *err, struct at_driver_info *info)
{
    choose_format(d, info);
    int r = set_up_stream(d, err, info);
    return r < 0 ? r : activate(d, err);
}

static void deactivate(struct at_driver *d)
{
    if (d->active)
        SoapySDRDevice_deactivateStream(d->dev, d->stream, 0, 0);
    d->active = false;
}

/* After another rate: with buffers for it, where the driver lets one size them. */
static int resume_stream(struct at_driver *d, struct at_error *err, struct at_driver_info *info)
{
    int r = 0;
    if (d->sized) {
        SoapySDRDevice_closeStream(d->dev, d->stream);
        r = set_up_stream(d, err, info);
    }
    return r < 0 ? r : activate(d, err);
}

/* ---- the table ---- */

static void close_driver(struct at_driver *d)
{
    if (!d)
        return;
    deactivate(d);
    if (d->stream)
        SoapySDRDevice_closeStream(d->dev, d->stream);
    if (d->dev)
        SoapySDRDevice_unmake(d->dev);
    at_mem_free(NULL, d);
}

/* USB ports change hands: a device that says it is another one is not ours. Leading zeros are
 * written or not. */
static bool is_other_serial(const char *asked, const char *found)
{
    size_t n = strlen(asked), m = strlen(found);
    if (n == 0 || m == 0)
        return false;
    return n < m ? strcasecmp(found + m - n, asked) != 0 : strcasecmp(asked + n - m, found) != 0;
}

static int check_serial(struct at_driver *d, const char *asked, const char *device,
                        struct at_error *err)
{
    SoapySDRKwargs known = SoapySDRDevice_getHardwareInfo(d->dev);
    const char *found = SoapySDRKwargs_get(&known, "serial");
    int r = 0;
    if (asked && found && is_other_serial(asked, found))
        r = at_error_set(err, -ENODEV, "%.120s: the device there says its serial is %.60s", device,
                         found);
    SoapySDRKwargs_clear(&known);
    return r;
}

static int make_device(struct at_driver *d, const struct at_soapy_options *o, struct at_error *err,
                       struct at_driver_info *info)
{
    SoapySDRKwargs args = SoapySDRKwargs_fromString(o->device);
    const char *driver = SoapySDRKwargs_get(&args, "driver");
    int r = 0;
    if (!driver || !*driver) {
        r = at_error_set(err, -EINVAL, "device \"%.80s\" must name its driver: driver=rtlsdr",
                         o->device);
        goto done;
    }
    char broken[200], log[200], package[64];
    size_t fit = load_modules(driver, o->modules, broken);
    take_complaint(log);
    /* Without a module of its own, make() would load every one there is. */
    d->dev = fit > 0 ? SoapySDRDevice_make(&args) : NULL;
    if (fit == 0)
        r = at_error_set(
            err, -ENODEV,
            "%.120s: no SoapySDR module for it; install %s or add its folder to soapy.modules",
            o->device, package_of(driver, package));
    else if (!d->dev && broken[0])
        r = at_error_set(err, -ENODEV, "%.120s: its module does not load: %.150s", o->device,
                         broken);
    else if (!d->dev)
        r = fail(err, -ENODEV, o->device, "not there (attune devices lists what is)");
    if (r < 0)
        goto done;
    const char *serial = SoapySDRKwargs_get(&args, "serial"),
               *label = SoapySDRKwargs_get(&args, "label");
    if ((r = check_serial(d, serial, o->device, err)) < 0)
        goto done;
    snprintf(info->label, sizeof info->label, "%.50s%s%.50s", label ? label : driver,
             serial ? " " : "", serial ? serial : "");
    char *hardware = SoapySDRDevice_getHardwareKey(d->dev);
    if (hardware)
        at_recording_copy_text(info->hardware, sizeof info->hardware, hardware);
    SoapySDR_free(hardware);
done:
    SoapySDRKwargs_clear(&args);
    return r;
}

static int open_driver(const struct at_soapy_options *o, struct at_error *err,
                       struct at_driver_info *ret_info, struct at_driver **ret_driver)
{
    struct at_driver *d = at_mem_alloc(NULL, AT_MEM_OTHER, sizeof *d);
    if (!d)
        return at_error_set(err, -ENOMEM, "no memory");
    d->options = o;
    d->channel = o->channel;
    struct at_driver_info info = {0};
    int r = make_device(d, o, err, &info);
    if (r == 0)
        r = configure(d, o, err, &info);
    if (r == 0)
        r = start_stream(d, err, &info);
    if (r < 0) {
        close_driver(d);
        return r;
    }
    *ret_info = info;
    *ret_driver = d;
    return 0;
}

/* Lime tells of drops here, not in readStream. 1: it did. */
static int poll_status(struct at_driver *d)
{
    size_t mask = 0;
    int flags = 0;
    long long time_ns = 0;
    int r = SoapySDRDevice_readStreamStatus(d->dev, d->stream, &mask, &flags, &time_ns, 0);
    if (r == SOAPY_SDR_NOT_SUPPORTED)
        d->polls_status = false;
    return r == SOAPY_SDR_OVERFLOW || r == SOAPY_SDR_TIME_ERROR;
}

static int read_driver(struct at_driver *d, void *buf, size_t max, int timeout_ms,
                       struct at_driver_read *ret)
{
    void *buffs[1] = {buf};
    int flags = 0; /* in and out: some modules only add to it */
    long long time_ns = 0;
    if (d->polls_status && poll_status(d))
        return -EOVERFLOW;
    int r = SoapySDRDevice_readStream(d->dev, d->stream, buffs, max, &flags, &time_ns,
                                      (long)timeout_ms * 1000);
    ret->has_time = flags & SOAPY_SDR_HAS_TIME;
    ret->time_ns = time_ns;
    ret->overlong = r > 0 && (size_t)r > max;
    if (r >= 0) {
        ret->n = ret->overlong ? max : (size_t)r;
        return r == 0 ? -ETIMEDOUT : 0;
    }
    switch (r) {
    case SOAPY_SDR_TIMEOUT:
        return -ETIMEDOUT;
    case SOAPY_SDR_OVERFLOW:
        return -EOVERFLOW;
    case SOAPY_SDR_CORRUPTION:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

static int tune_gain(struct at_driver *d, const struct at_tuning *t, struct at_driver_info *info,
                     struct at_error *err)
{
    if (!d->has_gain || (!t->gains[0] && isnan(t->gain_db)))
        return 0;
    int r = 0;
    if (t->gains[0])
        r = set_gain_elements(d, t->gains, "radio", err);
    else if (SoapySDRDevice_setGain(d->dev, SOAPY_SDR_RX, d->channel, t->gain_db) != 0)
        r = fail(err, -EINVAL, "radio", "refuses the gain");
    if (r == 0)
        info->gain_db =
            t->gains[0] ? SoapySDRDevice_getGain(d->dev, SOAPY_SDR_RX, d->channel) : t->gain_db;
    return r;
}

/* What is refused most often comes first. */
static int tune_running(struct at_driver *d, const struct at_tuning *t, struct at_driver_info *info,
                        struct at_error *err)
{
    if (!isnan(t->ppm))
        set_ppm(d, t->ppm);
    int r = isnan(t->center_hz) ? 0 : set_frequency(d, t->center_hz, "radio", err);
    if (r == 0 && t->antenna[0])
        r = set_antenna(d, t->antenna, "radio", err);
    if (r == 0)
        r = tune_gain(d, t, info, err);
    if (r == 0 && t->bias_tee)
        r = set_bias_tee(d, t->bias_tee > 0, err);
    if (r == 0 && t->settings[0])
        r = set_settings(d, t->settings, "radio", err);
    return r;
}

/* Few drivers change their rate under a running stream. */
static int tune_driver(struct at_driver *d, const struct at_tuning *t, struct at_driver_info *info,
                       struct at_error *err)
{
    if (!(t->rate_hz > 0))
        return tune_running(d, t, info, err);
    deactivate(d);
    struct at_error second = {{0}}; /* the first failure is the one that is told */
    int r = set_rate(d, t->rate_hz, err, info);
    if (r == 0)
        r = tune_running(d, t, info, err);
    int again = resume_stream(d, r < 0 ? &second : err, info);
    return again < 0 ? again : r;
}

const struct at_driver_ops *at_soapy_driver(void)
{
    static const struct at_driver_ops ops = {
        .version = 2,
        .open = open_driver,
        .read = read_driver,
        .tune = tune_driver,
        .close = close_driver,
    };
    return &ops;
}

/* ---- enumeration ---- */

/* The shortest device string that finds it again: driver and serial, else all that is no label. */
static void report(const SoapySDRKwargs *k,
                   void (*found)(void *ctx, const char *args, const char *label), void *ctx)
{
    const char *driver = SoapySDRKwargs_get(k, "driver"), *serial = SoapySDRKwargs_get(k, "serial");
    const char *label = SoapySDRKwargs_get(k, "label");
    struct at_buf args;
    char clean[128];
    at_buf_init(&args, 1024);
    at_buf_printf(&args, "driver=%s", driver ? driver : "");
    if (serial && *serial && !strchr(serial, ','))
        at_buf_printf(&args, ",serial=%s", serial);
    for (size_t i = 0; (!serial || !*serial) && i < k->size; i++)
        if (strcmp(k->keys[i], "driver") != 0 && strcmp(k->keys[i], "label") != 0 &&
            !strchr(k->vals[i], ',') && *k->vals[i])
            at_buf_printf(&args, ",%s=%s", k->keys[i], k->vals[i]);
    at_recording_copy_text(clean, sizeof clean, label ? label : driver ? driver : "");
    if (driver && *driver && args.failed == 0)
        found(ctx, args.data, clean);
    at_buf_finish(&args);
}

int at_soapy_find(const char *module, const char *driver, const char *const *modules,
                  void (*found)(void *ctx, const char *args, const char *label), void *ctx,
                  struct at_error *err)
{
    char broken[200] = "", text[80] = "", package[64];
    size_t n = 0;
    if (module) {
        SoapySDR_registerLogHandler(on_log);
        char *message = SoapySDR_loadModule(module);
        at_recording_copy_text(broken, sizeof broken, message ? message : "");
        SoapySDR_free(message);
        if (broken[0])
            return at_error_set(err, -ENOEXEC, "%s", broken);
    } else if (load_modules(driver, modules, broken) == 0) {
        return at_error_set(
            err, -ENOENT,
            "driver %.40s: no SoapySDR module for it; install %s or name its folder (--modules)",
            driver, package_of(driver, package));
    }
    if (broken[0])
        return at_error_set(err, -ENOEXEC, "driver %.40s: its module does not load: %s", driver,
                            broken);
    if (driver)
        snprintf(text, sizeof text, "driver=%.60s", driver);
    SoapySDRKwargs *list = SoapySDRDevice_enumerateStrArgs(text, &n);
    for (size_t i = 0; list && i < n && i < DEVICES_MAX; i++)
        report(&list[i], found, ctx);
    SoapySDRKwargsList_clear(list, n);
    return 0;
}

static void visit_folder(const char *folder, void (*visit)(void *ctx, const char *path), void *ctx)
{
    size_t n = 0;
    char **paths = SoapySDR_listModulesPath(folder, &n);
    for (size_t i = 0; paths && i < n; i++)
        visit(ctx, paths[i]);
    SoapySDRStrings_clear(&paths, n);
}

void at_soapy_list_modules(const char *const *modules, void (*visit)(void *ctx, const char *path),
                           void *ctx)
{
    size_t n = 0;
    for (size_t i = 0; modules && modules[i]; i++)
        visit_folder(modules[i], visit, ctx);
    char **folders = SoapySDR_listSearchPaths(&n);
    for (size_t i = 0; folders && i < n; i++)
        visit_folder(folders[i], visit, ctx);
    SoapySDRStrings_clear(&folders, n);
}
