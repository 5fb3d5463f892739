// examples: every curl line of README, and of what `make run` prints, as it stands there but for the port, run by the real curl
// against the shipped configuration, and the configuration that it has for translation; a scripted provider stands in the place of
// every real one.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asked, dialects } from '../lib/dialects.mjs';
import { scenario } from '../lib/scenario.mjs';
import { events } from '../lib/wire.mjs';

const read = (name) => readFileSync(fileURLToPath(new URL(`../../${name}`, import.meta.url)), 'utf8');
const hasCurl = (() => {
	try {
		return Boolean(execFileSync('curl', ['--version']));
	} catch {
		return false;
	}
})();
const options = { skip: hasCurl ? false : 'there is no curl' };

// Commands that begin with curl: an indented line and those that belong to it, because they are indented further.
const curls = (text) => [...text.matchAll(/^( +)curl .*\n(?:\1 +.*\n)*/gm)].map(([command]) => command);
const section = (text, heading) => text.match(new RegExp(`^${heading}\n-+\n([^]*?)(?=^.+\n---)`, 'm'))[1];

// What the provider says, by its path.
const HELLO = { parts: [{ text: 'Hello there.' }] };
const answerTo = (target) => (target.includes('/audio/') ? '{"text":"Hello there."}'
	: target === '/v1/messages' ? dialects.anthropic.reply(HELLO, 'claude') : dialects.openai.reply(HELLO, 'gpt'));

async function shipped(s) {
	const peer = await s.peer();
	peer.serve((request) => ({ body: answerTo(request.target) }));
	const text = read('etc/api-router.conf').replace(/(base_url = ")https:\/\/[^/"]+/g, `$1${peer.url}`).replace(/port = 8000/, 'port = 0');
	const d = s.command('', { env: { OPENAI_API_KEY: 'sk-openai', ANTHROPIC_API_KEY: 'sk-anthropic' } });
	d.writeConfig(`${text}pid_file = "${join(d.dir, 'pid')}";\nworkers = 1;\naccess_log: { format = "json"; };\n`);
	await d.start();
	const sound = randomBytes(100000);
	writeFileSync(join(d.dir, 'speech.mp3'), sound);
	// Run one: what it printed on standard output; its head is in `head`.
	const run = (command) => new Promise((done, failed) => {
		assert.ok(command.includes('http://127.0.0.1:8000/'), command);
		const here = command.replaceAll('127.0.0.1:8000', `127.0.0.1:${d.port}`).replace('curl ', 'curl -sS -D head ');
		execFile('sh', ['-c', here], { cwd: d.dir, env: { PATH: process.env.PATH, HOME: d.dir } }, (error, stdout, stderr) => {
			if (error || stderr)
				failed(new Error(`${here}\n${error}\n${stderr}`));
			else
				done({ head: readFileSync(join(d.dir, 'head'), 'latin1'), text: stdout });
		});
	});
	return { d, peer, sound, run };
}

const deltas = (text) => {
	const all = events(text);
	assert.equal(all.at(-1).data, '[DONE]', text);
	return all.slice(0, -1).map((e) => JSON.parse(e.data).choices[0].delta.content ?? '').join('');
};
const said = (content) => ({ text }) => assert.equal(JSON.parse(text).choices[0].message.content, content);
const streamed = (content) => ({ head, text }) => {
	assert.match(head, /^content-type: text\/event-stream/im);
	assert.ok(events(text).length > 3, 'word by word');
	assert.equal(deltas(text), content);
};
const message = ({ text }) => {
	const { type, role, content } = JSON.parse(text);
	assert.deepEqual([type, role, content[0].text], ['message', 'assistant', 'Hello!']);
};
const heard = (path) => ({ text }, { peer, sound }) => {
	assert.equal(text, '{"text":"Hello there."}');
	const request = peer.requests.at(-1);
	assert.equal(request.startLine, `POST ${path} HTTP/1.1`);
	assert.equal(request.header('authorization'), 'Bearer sk-openai');
	assert.ok(request.body.includes(sound), 'the file came whole');
	assert.match(request.body.toString('latin1'), /name="model"\r\n\r\nwhisper-1\r\n/);
};

// In the order of README.
const EXAMPLES = [
	['/health', ({ text }) => assert.equal(JSON.parse(text).status, 'ok')],
	['/metrics', ({ text }) => assert.match(text, /^api_router_build_info\{version="[\d.]+"\} 1$/m)],
	['/v1/models', ({ text }) => assert.deepEqual(JSON.parse(text).data.map((m) => m.id), ['echo'])],
	['/v1/chat/completions', said('Say hello.')],
	['/v1/chat/completions', streamed('Say hello.')],
	['/v1/completions', ({ text }) => assert.equal(JSON.parse(text).choices[0].text, 'def main():')],
	['/v1/embeddings', ({ text }) => assert.ok(JSON.parse(text).data[0].embedding.length > 0)],
	['/v1/messages', message],
	['/v1/messages', message],
	['/v1/messages', ({ head, text }) => {
		assert.match(head, /^content-type: text\/event-stream/im);
		const all = events(text).map((e) => JSON.parse(e.data));
		assert.deepEqual([all[0].type, all.at(-1).type], ['message_start', 'message_stop']);
		assert.equal(all.filter((e) => e.type === 'content_block_delta').map((e) => e.delta.text).join(''), 'Hello!');
	}],
	['/v1/chat/completions', (reply, { peer }) => {
		said('Hello there.')(reply);
		assert.deepEqual([peer.requests.at(-1).target, peer.requests.at(-1).header('x-api-key')], ['/v1/messages', 'sk-anthropic']);
	}],
	['/v1/messages', ({ text }, { peer }) => {
		assert.equal(JSON.parse(text).content[0].text, 'Hello there.');
		assert.deepEqual([peer.requests.at(-1).target, peer.requests.at(-1).header('authorization')], ['/v1/chat/completions', 'Bearer sk-openai']);
	}],
	['/v1/audio/transcriptions', heard('/v1/audio/transcriptions')],
	['/v1/audio/translations', heard('/v1/audio/translations')],
];

async function runAll(s, commands, examples) {
	assert.equal(commands.length, examples.length, commands.join(''));
	const it = await shipped(s);
	for (const [i, [path, check]] of examples.entries()) {
		assert.ok(commands[i].match(/127\.0\.0\.1:8000(\S*)/)[1] === path, `${path}: ${commands[i]}`);
		const reply = await it.run(commands[i]);
		assert.match(reply.head, /^HTTP\/1\.1 200 OK\r\n/, `${commands[i]}${reply.text}`);
		try {
			check(reply, it);
		} catch (error) {
			error.message += `\n${commands[i]}\n${reply.text}`;
			throw error;
		}
	}
}

scenario('the examples of README do what it says of them', async (s) => {
	const commands = curls(section(read('README'), 'Examples'));
	const systems = commands.filter((c) => c.includes('/v1/messages')).map((c) => c.includes('"system"'));
	assert.deepEqual(systems, [false, true, false, false]);
	await runAll(s, commands, EXAMPLES);
}, options);

scenario('there is no other curl line in README than the one at its head, and it does too', async (s) => {
	const readme = read('README');
	const first = curls(section(readme, 'The two commands'));
	assert.equal(curls(readme).length, first.length + EXAMPLES.length);
	await runAll(s, first, [['/v1/chat/completions', said('Hello!')]]);
}, options);

scenario('what `make run` offers to try works', async (s) => {
	await runAll(s, curls(read('tests/lib/try.txt')),
		[['/v1/chat/completions', said('Hello, router!')], ['/v1/chat/completions', streamed('Hello, router!')]]);
}, options);

scenario('with a key, the model that README and `make run` name goes to OpenAI', async (s) => {
	const { d, peer } = await shipped(s);
	for (const text of [read('README'), read('tests/lib/try.txt')])
		assert.match(text, /OPENAI_API_KEY=\.\.\. make run[^]*gpt-4o-mini/);
	const reply = await s.request(d, { path: '/v1/chat/completions', json: { model: 'gpt-4o-mini' } });
	assert.equal(reply.status, 200);
	const request = peer.requests.at(-1);
	assert.deepEqual([request.target, request.header('authorization')], ['/v1/chat/completions', 'Bearer sk-openai']);
});

// A configuration of README, from its providers to the end of its routes.
const configuration = (text) => text.match(/^ {4}providers: \{\n[^]*?^ {4}\);\n/m)[0];

scenario('across protocols: the configuration of README, the OpenAI SDK at Claude, Claude Code at Ollama', async (s) => {
	const peer = await s.peer();
	peer.serve((request) => ({ body: request.target === '/v1/messages' ? answerTo(request.target) : dialects.ollama.reply(HELLO, 'qwen') }));
	const text = section(read('README'), 'Across protocols');
	const d = s.command('', { env: { ANTHROPIC_API_KEY: 'sk-anthropic' } });
	d.writeConfig(`${configuration(text).replace(/(base_url = ")[^"]+/g, `$1${peer.url}`)}listen = ( { port = 0; } );
pid_file = "${join(d.dir, 'pid')}";\nworkers = 1;\n`);
	await d.start();
	const [, model] = text.match(/model="(claude-[^"]+)"/), messages = [{ role: 'user', content: 'Say hello.' }];
	const chat = await s.request(d, { path: '/v1/chat/completions', json: { model, messages } });
	assert.equal(chat.json.choices[0].message.content, 'Hello there.');
	assert.equal(asked('anthropic', peer.requests.at(-1)).model, model);
	const message = await s.request(d, { path: '/v1/messages?beta=true', json: { model, max_tokens: 9, messages } });
	assert.equal(message.json.content[0].text, 'Hello there.');
	assert.equal(peer.requests.at(-1).target, '/api/chat');
	assert.equal(asked('ollama', peer.requests.at(-1)).model, text.match(/provider = "ollama"; model = "([^"]+)"/)[1]);
});

scenario('every configuration in README is one', async (s) => {
	const found = [...read('README').matchAll(/^ {4}providers: \{\n[^]*?^ {4}\);\n/gm)].map(([text]) => text);
	assert.equal(found.length, 2);
	for (const text of found) {
		const d = s.command(text, { env: { OPENAI_API_KEY: 'a', ANTHROPIC_API_KEY: 'b' } });
		const { code, output } = await d.run('-t');
		assert.deepEqual([code, output], [0, `api-router: ${d.configFile}: ok\n`]);
	}
});
