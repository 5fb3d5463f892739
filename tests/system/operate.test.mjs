// operate: reloads, upgrades and kills under a load of which every byte is looked at, for a few seconds each. The long forms of
// these are run by `make check-long` (tests/long).

import assert from 'node:assert/strict';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { Killer, assertCounted, assertLimited, assertLogged, finish, reload, rollBack, underLoad, upgrade,
	wait } from '../lib/operate.mjs';

scenario('reloads one after the other under load lose no request, no count and no bucket', async (s) => {
	const run = await underLoad(s, { rate: 100, streamSeconds: 2, nWorkers: 2 });
	await run.load.more(100, 60000);
	for (let i = 0; i < 10; i++) {
		await reload(run);
		await run.load.more(20, 60000);
	}
	const end = await finish(run);
	assert.deepEqual([...run.load.failures, ...run.limited.failures], []);
	assert.equal(end.provider.left_early, 0);
	assertCounted(end);
	assertLimited(run, end);
	await assertLogged(run, end);
}, { ms: 120000 });

scenario('upgrades one after the other under load, and one rolled back, lose no request, no count and no bucket', async (s) => {
	const run = await underLoad(s, { rate: 100, streamSeconds: 2, nWorkers: 2 });
	await run.load.more(100, 60000);
	for (let i = 0; i < 2; i++) {
		await upgrade(run);
		await reload(run);
		await run.load.more(20, 60000);
	}
	await rollBack(run);
	await run.load.more(20, 60000);
	const end = await finish(run);
	assert.deepEqual([...run.load.failures, ...run.limited.failures], []);
	assert.equal(end.provider.left_early, 0);
	assertCounted(end);
	assertLimited(run, end);
	await assertLogged(run, end);
}, { ms: 180000 });

scenario('workers killed one after the other lose only what they had under way', async (s) => {
	const run = await underLoad(s, { rate: 100, streamSeconds: 0.5, nWorkers: 4 });
	await wait(1000);
	const killer = s.keep(new Killer(run, 100));
	await until(() => killer.kills.length >= 12, 'enough have been killed', 60000);
	await killer.stop();
	const end = await finish(run);
	assert.ok(run.load.failures.length > 0, 'some had something under way');
	for (const failure of [...run.load.failures, ...run.limited.failures])
		assert.ok(killer.of(failure), `not on a killed worker: ${JSON.stringify(failure)}`);
	assertCounted(end, { turns: killer.kills.length });
	assertLimited(run, end);
}, { ms: 120000, skip: underValgrind && 'there a start takes longer than a youth' });
