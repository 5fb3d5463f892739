// cost: instructions, which noise does not change. What an event of a stream costs when it is translated, held against
// the same events passed through.

import assert from 'node:assert/strict';
import { chmodSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { scenario, underValgrind } from '../lib/scenario.mjs';
import { dialects } from '../lib/dialects.mjs';

const PATHS = { chat: '/v1/chat/completions', messages: '/v1/messages' };
const MOST = 3; // times the instructions of the same event passed through

// Events as the services send them: OpenAI pads each chunk, so that no two have the same length.
const varied = (event, i) => event.replace('"finish_reason":null}]}', `"finish_reason":null}],"obfuscation":"${'x9aB'.slice(i % 4)}${i}"}`);

// Instructions of the worker that served a stream of `n` texts to one client.
async function counted(s, client, provider, n) {
	const dir = s.temporaryDirectory();
	chmodSync(dir, 0o777); // workers write there, and are nobody
	const d = dialects[provider];
	const events = d.stream({ parts: [{ text: 'Lorem ipsum '.repeat(n) }], usage: { input: 5, output: n } }, 'm', (t) => t.match(/.{12}/g))
		.map(varied).join('');
	const peer = await s.peer();
	peer.serve(() => `HTTP/1.1 200 OK\r\nContent-Type: ${d.type}\r\nContent-Length: ${Buffer.byteLength(events)}\r\n\r\n${events}`);
	const daemon = await s.daemon({
		providers: { p: { dialect: provider, base_url: provider === 'openai' ? `${peer.url}/v1` : peer.url, models: ['m'] } },
		access_log: { file: 'off' },
	}, { under: ['valgrind', '--tool=callgrind', '--trace-children=yes', `--callgrind-out-file=${join(dir, 'out.%p')}`] });
	const reply = await s.request(daemon, {
		path: PATHS[client], json: { model: 'm', stream: true, max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] }, ms: 60000,
	});
	assert.equal(reply.status, 200);
	assert.equal(reply.cut, false);
	assert.equal(reply.events.filter((e) => e.data.includes('Lorem ipsum ')).length, n);
	await daemon.stop();
	return Math.max(...readdirSync(dir).map((name) => Number(readFileSync(join(dir, name), 'utf8').match(/^summary: (\d+)/m)?.[1] ?? 0)));
}
async function perEvent(s, client, provider) {
	const [few, many] = [await counted(s, client, provider, 500), await counted(s, client, provider, 1500)];
	return Math.round((many - few) / 1000);
}

// Sanitizers and memcheck have instructions of their own.
const skip = underValgrind || /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') ? 'counts the release build' : undefined;

for (const [provider, same, other] of [['openai', 'chat', 'messages'], ['anthropic', 'messages', 'chat']])
	scenario(`an event of ${provider} translated costs at most ${MOST} times the same event passed through`, async (s) => {
		const passed = await perEvent(s, same, provider), translated = await perEvent(s, other, provider);
		console.log(`| ${provider}: ${passed} instructions an event passed through, ${translated} translated`);
		assert.ok(passed > 200 && translated > 200, 'the events were counted');
		assert.ok(translated <= MOST * passed, `${translated} is more than ${MOST} times ${passed}`);
	}, { skip, ms: 120000 });
