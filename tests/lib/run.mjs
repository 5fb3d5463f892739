// run: node tests/lib/run.mjs [--jobs N] [--only PART] DIRECTORY: run every *.test.mjs of the directory, a few at a
// time, each in a process of its own; show what failed and, at the end, how many passed.

import { spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

const args = process.argv.slice(2);
const option = (name, otherwise) => {
	const at = args.indexOf(name);
	return at < 0 ? otherwise : args.splice(at, 2)[1];
};
const jobs = Number(option('--jobs', '3'));
const only = option('--only', '');
const [directory] = args;
// The largest first: they last longest, and would be waited for at the end.
const size = (f) => statSync(f).size;
const files = readdirSync(directory).filter((f) => f.endsWith('.test.mjs') && f.includes(only)).map((f) => join(directory, f))
	.sort((a, b) => size(b) - size(a));

const total = { pass: 0, fail: 0, skipped: 0 };
const children = new Set();
for (const signal of ['SIGINT', 'SIGTERM'])
	process.on(signal, () => {
		for (const child of children)
			child.kill(signal);
		process.exitCode = 1;
		files.length = 0;
	});

function runFile(file) {
	return new Promise((done) => {
		const started = Date.now();
		const child = spawn(process.execPath, ['--test-reporter=tap', file], { stdio: ['ignore', 'pipe', 'pipe'] });
		children.add(child);
		let tap = '';
		let errors = '';
		child.stdout.on('data', (data) => (tap += data));
		child.stderr.on('data', (data) => (errors += data));
		child.on('close', (code) => {
			children.delete(child);
			const count = Object.fromEntries(Object.keys(total).map((name) =>
				[name, Number(tap.match(new RegExp(`^# ${name} (\\d+)`, 'm'))?.[1] ?? 0)]));
			if (code !== 0 && count.fail === 0)
				count.fail = 1; // it ended badly outside of its tests
			for (const name of Object.keys(total))
				total[name] += count[name];
			const seconds = ((Date.now() - started) / 1000).toFixed(1);
			const skipped = count.skipped ? `, ${count.skipped} skipped` : '';
			console.log(`  ${count.fail ? 'FAILED' : 'ok    '}  ${basename(file, '.test.mjs')}: ` +
				`${count.pass} passed, ${count.fail} failed${skipped} (${seconds} s)`);
			for (const [row] of tap.matchAll(/^\|.*$/gm)) // a table that the file has to show
				console.log(`      ${row}`);
			if (count.fail)
				console.log(`${errors}${tap.split(/^(?=(?:# Subtest|not ok|ok))/m).filter((part) => part.startsWith('not ok')).join('')}`);
			done();
		});
	});
}

async function worker() {
	for (let file; (file = files.shift()); )
		await runFile(file);
}
await Promise.all(Array.from({ length: jobs }, worker));
console.log(`${basename(directory)}: ${total.pass} passed, ${total.fail} failed` +
	(total.skipped ? `, ${total.skipped} skipped` : ''));
process.exitCode = total.fail || !total.pass ? 1 : process.exitCode;
