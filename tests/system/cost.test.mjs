// cost: what noise does not change: instructions, system calls, sizes. What a request and an event of a stream cost is
// held against bench/budget, and a translated event against the same event passed through.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { perEvent, perRequest } from '../lib/counted.mjs';
import { binary } from '../lib/daemon.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';

const MOST = 3; // times the instructions of the same event passed through
const OVER = 1.03; // of the budget
const TOGETHER = 16;
const BUDGET = new URL('../../bench/budget', import.meta.url);

// ---- the budget

// Why this build's figures cannot be held against it: other compilers, options and libraries have others.
function incomparable() {
	let built;
	try {
		built = readFileSync(join(dirname(binary), 'options'), 'utf8').split('\n')[0];
	} catch {
		return 'there is no file of options beside the daemon';
	}
	const glibc = spawnSync('getconf', ['GNU_LIBC_VERSION'], { encoding: 'utf8' }).stdout?.trim();
	const here = `${built}, ${glibc}, ${process.arch}`;
	const wanted = 'usual: gcc 12, glibc 2.36, x64';
	return here === wanted ? undefined : `bench/budget is for "${wanted}", and this is "${here}"`;
}
// Sanitizers and memcheck have instructions of their own.
const uncounted = underValgrind || /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') ? 'counts the release build' : undefined;
const skip = uncounted ?? incomparable();
const noStrace = spawnSync('strace', ['-o', '/dev/null', 'true']).status !== 0 && 'there is no strace that may trace';

const budget = new Map(readFileSync(BUDGET, 'utf8').split('\n').map((line) => line.match(/^([\w-]+)\s+([\d.]+)\s+([\w-]+)$/)).filter(Boolean)
	.map(([, name, number, unit]) => [`${name} ${unit}`, Number(number)]));

// Show what was measured as a line of the budget, and hold it against the one that is there.
function hold(name, value, unit) {
	const number = unit === 'calls' ? value.toFixed(2) : String(Math.round(value));
	const line = `${name.padEnd(30)}${number.padStart(9)}  ${unit}`;
	console.log(`| ${line}`);
	const most = budget.get(`${name} ${unit}`);
	if (process.env.BUDGET === 'print')
		return;
	assert.ok(most !== undefined, `bench/budget has no such line; it would be\n    ${line}`);
	const ratio = number / most;
	assert.ok(ratio <= OVER, `${name}: ${number} ${unit}, ${((ratio - 1) * 100).toFixed(1)} % over the ${most} of bench/budget. ` +
		`If this is meant, change bench/budget in the commit that says why:\n    ${line}`);
	if (ratio < 2 - OVER)
		console.log(`| that is ${((1 - ratio) * 100).toFixed(1)} % under the ${most} of bench/budget: lower it`);
}
const ms = 300000;

const measured = {};
const atFullSpeed = async (s, client, provider) =>
	(measured[`${client} ${provider}`] ??= await perEvent(s, 'callgrind', client, provider, TOGETHER));

for (const [name, client, provider] of [['request', 'chat', 'openai'], ['request-translated', 'messages', 'openai']]) {
	scenario(`${name}: its instructions are within the budget`, async (s) =>
		hold(name, await perRequest(s, 'callgrind', client, provider), 'instructions'), { skip, ms });
	scenario(`${name}: its system calls are within the budget`, async (s) =>
		hold(name, await perRequest(s, 'strace', client, provider), 'calls'), { skip: skip ?? noStrace, ms });
}

for (const [name, client, provider] of [['event', 'chat', 'openai'], ['event-openai-anthropic', 'messages', 'openai'],
	['event-anthropic-openai', 'chat', 'anthropic']]) {
	scenario(`${name}: its instructions are within the budget`, async (s) =>
		hold(name, await perEvent(s, 'callgrind', client, provider), 'instructions'), { skip, ms });
	scenario(`${name}: its instructions in a stream at full speed are within the budget`, async (s) =>
		hold(name.replace('event', 'event-of-16'), await atFullSpeed(s, client, provider), 'instructions'), { skip, ms });
	scenario(`${name}: its system calls are within the budget`, async (s) =>
		hold(name, await perEvent(s, 'strace', client, provider), 'calls'), { skip: skip ?? noStrace, ms });
}

scenario('the stripped daemon is as small as the budget says', async (s) => {
	const stripped = join(s.temporaryDirectory(), 'stripped');
	execFileSync('strip', ['-o', stripped, binary]);
	hold('stripped', statSync(stripped).size, 'bytes');
}, { skip });

scenario('a tree at rest has the memory that the budget says', async (s) => {
	const daemon = await s.daemon({
		providers: { p: { dialect: 'openai', base_url: 'http://localhost:9/v1', models: ['m'] } }, workers: 2,
	});
	let was, now = 0;
	await until(async () => {
		was = now;
		await new Promise((resolve) => setTimeout(resolve, 200));
		now = daemon.processes().length === 4 ? daemon.pss() : 0;
		return now > 0 && now === was;
	}, 'it rests');
	hold('at-rest', now / 1024, 'KiB');
}, { skip });

// ---- translated against passed

for (const [provider, same, other] of [['openai', 'chat', 'messages'], ['anthropic', 'messages', 'chat']])
	scenario(`an event of ${provider} translated costs at most ${MOST} times the same event passed through`, async (s) => {
		const passed = await atFullSpeed(s, same, provider), translated = await atFullSpeed(s, other, provider);
		console.log(`| ${provider}: ${Math.round(passed)} instructions an event passed through, ${Math.round(translated)} translated`);
		assert.ok(passed > 200 && translated > 200, 'the events were counted');
		assert.ok(translated <= MOST * passed, `${translated} is more than ${MOST} times ${passed}`);
	}, { skip: uncounted, ms });
