/* The helper process that owns a radio: what a program must do at the top of its main().
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_HELPER_H
#define AT_SOURCE_HELPER_H

/* Every program that opens radios or lists devices calls this first: where it was started as a
 * helper
 * (`--radio-helper`), that is its whole life, and the exit code is returned; else -1, and it goes
 * on. */
int at_helper_main(int argc, char **argv);

#endif
