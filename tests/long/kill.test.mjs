// kill: workers are killed one after the other, more of them than the scoreboard has rows, under load. Only what was under way on the
// killed ones fails; nothing of what all share is lost.
//
// KILL_SECONDS: for how long.

import assert from 'node:assert/strict';
import { scenario } from '../lib/scenario.mjs';
import { Killer, assertCounted, assertLimited, describe, finish, underLoad, wait } from '../lib/operate.mjs';

const seconds = Number(process.env.KILL_SECONDS || 60);

scenario(`workers killed for ${seconds} s`, async (s) => {
	const run = await underLoad(s, { rate: 400, streamSeconds: 0.2, nWorkers: 24, perMinute: 3000, burst: 100 });
	await wait(2000);
	const killer = s.keep(new Killer(run, 10));
	await wait(seconds * 1000);
	await killer.stop();
	const end = await finish(run);
	const failures = [...run.load.failures, ...run.limited.failures];
	console.log(`| ${killer.kills.length} kills; ${describe(end)}`);
	assert.deepEqual(failures.filter((failure) => !killer.of(failure)).slice(0, 10), [], 'not on a killed worker');
	assert.equal(end.metrics.sum('worker_exits_total', { reason: 'signal' }), killer.kills.length);
	const missing = assertCounted(end, { turns: killer.kills.length });
	console.log(`| answered and not counted: ${missing}`);
	console.log(`| ${assertLimited(run, end)}`);
}, { ms: seconds * 1000 + 300000 });
