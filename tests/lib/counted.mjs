// counted: what a worker does for a request, and for an event of a stream, in instructions (callgrind) and system calls
// (strace). Noise changes neither: one connection, inputs of fixed sizes, each sent when all of the one before has
// arrived, so that the worker turns as often as there are messages. What start and end cost goes out by counting twice,
// with few and with many, and taking the difference.
//
// The daemon is as one that is used: limits, clients' keys, and an access log in JSON.

import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { dialects } from './dialects.mjs';
import { workers } from './processes.mjs';
import { until } from './scenario.mjs';
import { chunk, LAST_CHUNK } from './wire.mjs';
import { streamHead } from './peer.mjs';

const KEY = 'sk-counted';
const PATHS = { chat: '/v1/chat/completions', messages: '/v1/messages' };
const FEW = 200, MANY = 600;

// glibc picks its string functions by the processor; these are what each one of x86-64 has.
const env = { GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-BMI2,-RTM,-ERMS,-FSRM,-SSE4_2,-MOVBE' };

// The calls, but for what time makes it do, and not the request: the access log's writes; polls at whose end nothing has come; alarms, of
// which each is set, ends a poll and is read from the descriptor of hints.
function calls(text) {
	const [, hints] = text.match(/^signalfd4\(.* = (\d+)$/m) ?? [];
	const count = (start) => text.match(new RegExp(`^${start}`, 'gm'))?.length ?? 0;
	const alarms = count('timer_settime\\(');
	return count('(?!write\\(|poll\\(.* = 0 \\(Timeout\\))\\w+\\(') - alarms
		- Math.min(alarms, count(`poll\\(.* = 1 \\(\\[\\{fd=${hints}, `)) - Math.min(alarms, count(`read\\(${hints}, `));
}

const counters = {
	callgrind: {
		under: (dir) => ['valgrind', '--tool=callgrind', '--trace-children=yes', `--callgrind-out-file=${join(dir, 'out.%p')}`],
		read: (text) => Number(text.match(/^summary: (\d+)$/m)?.[1] ?? NaN),
	},
	strace: {
		under: (dir) => ['strace', '-D', '-ff', '-s', '0', '-e', 'abbrev=!poll', '-o', join(dir, 'out')],
		read: (text) => (/^\+\+\+ exited/m.test(text) ? calls(text) : NaN),
	},
};

// What the worker of a daemon does in its life, under one of the counters; `drive` gives it its work.
async function life(s, counter, dialect, drive) {
	const dir = s.temporaryDirectory();
	chmodSync(dir, 0o777); // workers write there, and are nobody
	const peer = await s.peer();
	const daemon = await s.daemon({
		providers: { p: { dialect, base_url: dialect === 'openai' ? `${peer.url}/v1` : peer.url, models: ['m'] } },
		clients: { c: { key: `sha256:${createHash('sha256').update(KEY).digest('hex')}` } },
		rate_limit: { requests_per_minute: 1000000, burst: 100000 },
	}, { under: counters[counter].under(dir), env });
	await until(() => workers(daemon).length === 1, 'the worker is there');
	const [pid] = workers(daemon);
	await drive(peer, await s.connect(daemon));
	await daemon.stop();
	const read = () => readdirSync(dir).filter((name) => name.endsWith(`.${pid}`))
		.map((name) => counters[counter].read(readFileSync(join(dir, name), 'utf8')))[0];
	await until(() => read() > 0, 'the counter has counted');
	return read();
}
const asked = (client, stream) => ({
	path: PATHS[client], headers: { Authorization: `Bearer ${KEY}` }, ms: 60000,
	json: { model: 'm', stream, max_tokens: 9, messages: [{ role: 'user', content: 'Lorem ipsum '.repeat(80) }] },
});

// A plain request of `client` (chat, messages) to a provider of a dialect: prompt and answer have 1 KB.
export async function perRequest(s, counter, client, provider) {
	const answer = { parts: [{ text: 'dolor sit amet '.repeat(64) }], usage: { input: 240, output: 240 } };
	const run = (n) => life(s, counter, provider, async (peer, conn) => {
		peer.serve(() => ({ body: dialects[provider].reply(answer, 'm') }));
		for (let i = 0; i < n; i++) {
			const reply = await conn.exchange(asked(client, false));
			if (reply.status !== 200 || !reply.text.includes('dolor sit amet '))
				throw new Error(`not the answer: ${reply.status} ${reply.text}`);
		}
	});
	return (await run(MANY) - await run(FEW)) / (MANY - FEW);
}

// Events as the services send them: OpenAI pads each chunk, so that no two in a row have the same length.
const padded = (event, i) => event.replace('"finish_reason":null}]}', `"finish_reason":null}],"obfuscation":"${'x9aB'.slice(i % 4)}"}`);

// An event with twelve letters of text, of a stream whose events come `together` in one piece.
export async function perEvent(s, counter, client, provider, together = 1) {
	const { stream, type } = dialects[provider];
	const run = (pieces) => life(s, counter, provider, async (peer, conn) => {
		const names = Array.from({ length: pieces * together }, (_, i) => `${'Lorem ipsum '.slice(i * 7 % 11)}${String(i).padStart(4, '0')}`);
		let done = false;
		const all = stream({ parts: [{ text: names.join('') }], usage: { input: 240, output: 240 } }, 'm', () => names).map(padded);
		const first = all.findIndex((e) => e.includes(names[0])), last = first + names.length;
		peer.serve(async (_, provider) => {
			await provider.send(streamHead({ 'Content-Type': type }));
			await provider.send(chunk(all.slice(0, first).join('')));
			await conn.readUntil(client === 'chat' ? '\n\n' : 'message_start');
			for (let at = 0; at < names.length; at += together) {
				await provider.send(chunk(all.slice(first + at, first + at + together).join('')));
				if (!await conn.readUntil(names[at + together - 1], 60000))
					throw new Error(`the stream was cut before ${names[at + together - 1]}`);
				await conn.readUntil('\n\n');
			}
			await provider.send(Buffer.concat([chunk(all.slice(last).join('')), LAST_CHUNK]));
			await conn.readUntil(client === 'chat' ? '[DONE]' : '"message_stop"');
			done = true;
		});
		await conn.request(asked(client, true));
		await until(() => done || peer.failure, 'the stream has ended', 60000);
	});
	const [few, many] = [FEW, MANY].map((n) => Math.ceil(n / Math.min(together, 4)));
	return (await run(many) - await run(few)) / ((many - few) * together);
}
