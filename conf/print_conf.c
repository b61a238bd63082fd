/* Writes the shipped configuration from the table of keys: print-conf > conf/attuned.yaml
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/config/config.h"

int main(void)
{
    return at_config_print_shipped(stdout) < 0 ? AT_EXIT_FAILED : AT_EXIT_OK;
}
