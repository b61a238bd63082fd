/* Stands in for soapy.c in a build without SoapySDR, and says so.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/radio.h"

const struct at_driver_ops *at_soapy_driver(void)
{
    return NULL;
}

int at_soapy_find(const char *module, const char *driver, const char *const *modules,
                  void (*found)(void *ctx, const char *args, const char *label), void *ctx,
                  struct at_error *err)
{
    return at_error_set(err, -ENOTSUP,
                        "built without SoapySDR: radios need a build with -Dsoapy=enabled");
}

void at_soapy_list_modules(const char *const *modules, void (*visit)(void *ctx, const char *path),
                           void *ctx)
{
}
