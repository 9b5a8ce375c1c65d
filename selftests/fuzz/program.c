// SPDX-License-Identifier: GPL-2.0
/*
 * Programs. As text, a line that describes what all lanes have, then a line for each
 * step: lane, call, arguments that are not 0. The rest of a line behind # is ignored.
 *
 *   program lanes=2 forked=0x2 repeat=3 buckets=4 queue=16 keys=100
 *   0 subscribe slot=1 key=3 events=0x7
 *   1 publish slot=1 key=3 len=40
 */
#include "fuzz.h"

uint64_t random_next(uint64_t *state)
{
	/* xorshift64*, which 0 would stop */
	uint64_t x = *state ?: 0x9e3779b97f4a7c15ULL;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return (random_next(state) >> 32) % limit;
}

static uint32_t domain_pick(const struct domain *domain, uint64_t *state)
{
	uint32_t n, value = 0;

	switch (domain->how) {
	case BITS_OF:
		for (n = random_below(state, 4); n; n--)
			value |= domain->values[random_below(state, domain->nr)];
		return value;
	case MOSTLY_FIRST:
		if (random_below(state, 4))
			return domain->values[0];
		break;
	default:
		break;
	}
	return domain->values[random_below(state, domain->nr)];
}

/* Not all programs have steps that make results uncertain: these disable the strictest checks. */
static void step_pick_arg(struct step *step, uint32_t nr, bool wild, uint64_t *state)
{
	const struct domain *domain = calls[step->call].args[nr].domain;

	if (!domain)
		return;
	step->arg[nr] = domain == &domain_mem && !wild ? 0 : domain_pick(domain, state);
}

static void step_generate(struct step *step, uint32_t lanes, bool wild, uint64_t *state)
{
	uint32_t i, total = 0;

	*step = (struct step) { .lane = random_below(state, lanes) };
	for (i = 0; i < nr_calls; i++)
		total += calls[i].wild && !wild ? 0 : calls[i].weight;
	total = random_below(state, total);
	for (i = 0;; i++) {
		uint32_t weight = calls[i].wild && !wild ? 0 : calls[i].weight;

		if (total < weight)
			break;
		total -= weight;
	}
	step->call = i;
	for (i = 0; i < ARGS; i++)
		step_pick_arg(step, i, wild, state);
}

static void program_pick_frame(struct program *program, uint64_t *state)
{
	static const uint32_t lens[] = { 1, 2, 4, 16, 16, 64, 256 };

	program->lanes = 1 + random_below(state, LANES);
	program->forked = random_below(state, 3) ? 0 : random_below(state, 1 << LANES);
	program->repeat = 1U << random_below(state, 6);
	program->buckets = 1U << random_below(state, 4);
	program->queue_len = lens[random_below(state, ARRAY_SIZE(lens))];
	program->max_keys = random_below(state, 4) ? 1000 : 8;
}

void program_generate(struct program *program, uint64_t *state)
{
	bool wild = !random_below(state, 4);
	uint32_t i;

	*program = (struct program) {};
	program_pick_frame(program, state);
	program->nr = 8 + random_below(state, STEPS - 8);
	for (i = 0; i < program->nr; i++)
		step_generate(&program->steps[i], program->lanes, wild, state);
}

static void program_insert(struct program *program, uint32_t at, const struct step *step)
{
	if (program->nr == STEPS)
		return;
	memmove(&program->steps[at + 1], &program->steps[at],
		(program->nr - at) * sizeof(*step));
	program->steps[at] = *step;
	program->steps[at].lane %= program->lanes;
	program->nr++;
}

static void program_remove(struct program *program, uint32_t at)
{
	if (program->nr <= 1)
		return;
	program->nr--;
	memmove(&program->steps[at], &program->steps[at + 1],
		(program->nr - at) * sizeof(struct step));
}

void program_mutate(struct program *program, const struct program *other, uint64_t *state)
{
	uint32_t n, at, count = 1 + random_below(state, 8);
	bool wild = !random_below(state, 4);
	struct step step;

	while (count--) {
		at = random_below(state, program->nr);
		switch (random_below(state, 8)) {
		case 0:
			program_pick_frame(program, state);
			for (n = 0; n < program->nr; n++)
				program->steps[n].lane %= program->lanes;
			break;
		case 1:
			program_remove(program, at);
			break;
		case 2:
			step = program->steps[at];
			program_insert(program, at, &step);
			break;
		case 3:
			program->steps[at].lane = random_below(state, program->lanes);
			break;
		case 4:
			for (n = random_below(state, 16); n; n--) {
				step = other->steps[random_below(state, other->nr)];
				program_insert(program, at, &step);
			}
			break;
		case 5:
			step_generate(&step, program->lanes, wild, state);
			program_insert(program, at, &step);
			break;
		default:
			step_pick_arg(&program->steps[at], random_below(state, ARGS), wild, state);
		}
	}
}

size_t program_print(const struct program *program, char *text)
{
	char *p = text;
	uint32_t i, n;

	p += sprintf(p, "program lanes=%u forked=%#x repeat=%u buckets=%u queue=%u keys=%u\n",
		     program->lanes, program->forked, program->repeat, program->buckets,
		     program->queue_len, program->max_keys);
	for (i = 0; i < program->nr; i++) {
		const struct step *step = &program->steps[i];

		p += sprintf(p, "%u %s", step->lane, calls[step->call].name);
		for (n = 0; n < ARGS; n++)
			if (step->arg[n])
				p += sprintf(p, step->arg[n] < 10 ? " %s=%u" : " %s=%#x",
					     calls[step->call].args[n].name, step->arg[n]);
		p += sprintf(p, "\n");
	}
	return p - text;
}

static bool step_parse(struct step *step, char *name)
{
	char *word, *value, *save = NULL;
	uint32_t n;

	name = strtok_r(name, " \t", &save);
	for (step->call = 0; step->call < nr_calls; step->call++)
		if (name && !strcmp(name, calls[step->call].name))
			break;
	if (step->call == nr_calls)
		return false;
	while ((word = strtok_r(NULL, " \t", &save))) {
		value = strchr(word, '=');
		if (!value)
			return false;
		*value++ = '\0';
		for (n = 0; n < ARGS; n++)
			if (calls[step->call].args[n].name &&
			    !strcmp(calls[step->call].args[n].name, word))
				break;
		if (n == ARGS)
			return false;
		step->arg[n] = strtoul(value, NULL, 0);
	}
	return true;
}

static bool program_parse_line(struct program *program, char *line)
{
	struct step step = {};
	char *rest;

	if (!strncmp(line, "program ", 8))
		return sscanf(line + 8, "lanes=%u forked=%x repeat=%u buckets=%u queue=%u keys=%u",
			      &program->lanes, &program->forked, &program->repeat,
			      &program->buckets, &program->queue_len, &program->max_keys) == 6 &&
		       program->lanes && program->lanes <= LANES;
	step.lane = strtoul(line, &rest, 10);
	if (step.lane >= program->lanes || program->nr == STEPS || !step_parse(&step, rest))
		return false;
	program->steps[program->nr++] = step;
	return true;
}

bool program_parse(struct program *program, const char *text)
{
	char line[256];
	size_t len;

	*program = (struct program) {};
	for (; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		line[strcspn(line, "#")] = '\0';
		if (line[strspn(line, " \t")] && !program_parse_line(program, line)) {
			fprintf(stderr, "fuzz: no step of a program: %.*s\n", (int)len, text);
			return false;
		}
	}
	return program->nr;
}
