// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The part that sets the pace is busy all the time, what is before it waits for room and what is behind it
// for work (the drum of E. Goldratt, "The Goal", 1984). So: are readers held up? Then it is the networks or
// delivery, whichever is busy; else it is reading itself, the clock, or nothing. A model's slots are busy
// also when an inference in them stands in line for a core: whether more cores would help is told by how many
// were busy.

#include "tune/verdict.h"

#define BUSY 0.7    // from here on a part is called busy
#define BUSIER 0.4  // enough where others wait for it: it had not all of the machine
#define HELD_UP 0.2 // from here on something waits for another part
#define FULL 0.85   // of the cores
#define CROWDED 0.3 // from here on others had the cores

static void add_share(fm_str *out, double share)
{
    fm__str_add_fixed(out, share * 100, 0);
    fm__str_add(out, " %");
}

static bool is_full(const fm__load *l)
{
    return l->cores_busy >= FULL * l->cores;
}

static bool is_crowded(const fm__load *l)
{
    return !is_full(l) && l->in_line >= CROWDED;
}

// A sentence, but for its end.
static void add_cores(fm_str *out, const fm__load *l)
{
    fm__str_add(out, is_full(l)      ? " The cores were full ("
                     : is_crowded(l) ? " Other programs had the cores, too ("
                                     : " There were cores to spare (");
    fm__str_add_fixed(out, l->cores_busy, 1);
    fm__str_printf(out, " of %d busy", l->cores);
    if (is_crowded(l)) {
        fm__str_add(out, "; framemill's threads stood in line for one ");
        add_share(out, l->in_line);
        fm__str_add(out, " of the time that they wanted one");
    }
    fm__str_add_char(out, ')');
}

static void networks(fm_str *out, const fm__load *l)
{
    fm__str_printf(out, "The networks set the pace: the slots of %s were busy ", l->model);
    add_share(out, l->slots);
    fm__str_add(out, " of the time, and reading waited ");
    add_share(out, l->no_room);
    fm__str_add(out, " of its time for room.");
    add_cores(out, l);
    fm__str_add(out, is_full(l) ? ": a smaller model, looking less often or more cores make it faster."
                     : is_crowded(l)
                         ? "."
                         : ": more slots or larger batches may make it faster; see framemill tune.");
}

static void delivery(fm_str *out, const fm__load *l)
{
    fm__str_add(out, "Delivery sets the pace: its busiest thread was at work ");
    add_share(out, l->delivery);
    fm__str_printf(out, " of the time, most of it with '%s'.", l->delivers);
    add_cores(out, l);
    fm__str_add_char(out, '.');
}

static void reading(fm_str *out, const fm__load *l)
{
    fm__str_add(out, "Reading sets the pace: the busiest stream's thread was at work ");
    add_share(out, l->reader);
    fm__str_printf(out, " of the time, most of it with '%s'", l->reads);
    if (l->model) {
        fm__str_printf(out, "; the slots of %s were busy ", l->model);
        add_share(out, l->slots);
    }
    fm__str_add_char(out, '.');
    add_cores(out, l);
    fm__str_add_char(out, '.');
}

static void nothing(fm_str *out, const fm__load *l)
{
    fm__str_add(out, is_full(l) ? "The cores set the pace: no thread was busy all the time."
                                : "Nothing was busy all the time.");
    add_cores(out, l);
    fm__str_add(out, "; the busiest stream's thread worked ");
    add_share(out, l->reader);
    fm__str_add(out, " of the time, the busiest delivery thread ");
    add_share(out, l->delivery);
    if (l->model) {
        fm__str_printf(out, ", the slots of %s ", l->model);
        add_share(out, l->slots);
    }
    fm__str_add_char(out, '.');
}

static void clock_sets_it(fm_str *out, const fm__load *l)
{
    fm__str_add(out, "The clock sets the pace: the streams' threads waited ");
    add_share(out, l->pace);
    fm__str_add(out, " of their time for a frame's time to come.");
    add_cores(out, l);
    fm__str_add_char(out, '.');
}

void fm__verdict(fm_str *out, const fm__load *l)
{
    bool held_up = l->no_room >= HELD_UP || l->dropped > 0;
    double enough = held_up ? BUSIER : BUSY;
    if (l->frames == 0) {
        fm__str_add(out, "No frame came through: see the streams' errors below.");
    } else if (held_up && l->model && l->slots >= enough && l->slots >= l->delivery) {
        networks(out, l);
    } else if (l->delivers && l->delivery >= enough && (held_up || l->delivery > l->reader)) {
        delivery(out, l);
    } else if (l->pace >= HELD_UP) {
        clock_sets_it(out, l);
    } else if (l->reads && l->reader >= BUSY) {
        reading(out, l);
    } else {
        nothing(out, l);
    }
    if (l->dropped > 0) {
        fm__str_printf(out, " %llu frames were dropped to keep up.", (unsigned long long)l->dropped);
    }
}
