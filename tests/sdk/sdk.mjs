// sdk: the vendors' SDKs, from where tests/sdk/install put them, and what their tests share.

import { File } from 'node:buffer';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { resolve } from 'node:path';
import { certificates, streamHead } from '../lib/peer.mjs';
import { chunk, LAST_CHUNK, sse } from '../lib/wire.mjs';

globalThis.File ??= File; // Node 18 has it, but not as a global, which the SDKs' uploads want

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(resolve(process.env.API_ROUTER_SDK ?? resolve(root, 'build/sdk'), 'package.json'));

// Every version under test: [name, module].
export const OPENAI = [['openai 6.49.0', require('openai')], ['openai 4.104.0', require('openai-4')]];
export const ANTHROPIC = [['@anthropic-ai/sdk 1.12.0', require('@anthropic-ai/sdk')], ['@anthropic-ai/sdk 0.60.0', require('anthropic-0.60')]];
// The AI SDK with its two providers, and a provider that is nearly like each of the real ones; loaded where they are wanted.
export const aiSdk = () => ({ ...require('ai'), ...require('@ai-sdk/openai'), ...require('@ai-sdk/anthropic') });
export const aimock = () => require('@copilotkit/aimock');

// A daemon with the echo provider, and a scripted provider of ours over HTTPS whose certificate it verifies: both
// dialects, models `m` (openai) and `c` (anthropic).
export async function daemonAndProvider(s) {
	const provider = await s.peer({ tls: true, name: 'provider' });
	const common = { tls: { ca_file: certificates().caFile }, api_key: 'sk-provider' };
	const daemon = await s.daemon({
		providers: {
			echo: { dialect: 'echo', models: ['echo'] },
			slow: { dialect: 'echo', models: ['slow'], echo: { interval: 0.1 } },
			openai: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'], ...common },
			anthropic: { dialect: 'anthropic', base_url: provider.url, models: ['c'], ...common },
		},
	});
	return { daemon, provider };
}

// Send a whole event stream as a chunked reply, in pieces of `size` bytes; `list`: payloads, or [event, payload].
export async function sendStream(conn, list, size = 40) {
	const text = list.map((e) => (Array.isArray(e) ? sse(e[1], e[0]) : sse(e))).join('');
	await conn.send(streamHead());
	const all = Buffer.from(text);
	for (let at = 0; at < all.length; at += size)
		await conn.send(chunk(all.subarray(at, at + size)));
	await conn.send(LAST_CHUNK);
}

export async function collect(iterable) {
	const all = [];
	for await (const item of iterable)
		all.push(item);
	return all;
}
// The error that a promise ends with.
export async function failure(promise) {
	try {
		await promise;
	} catch (error) {
		return error;
	}
	throw new Error('it did not fail');
}
