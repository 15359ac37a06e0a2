// Drives a headless Chromium over its debugging pipe: no package is needed.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--remote-debugging-pipe'];

/** A browser with a profile of its own. */
export class Browser {
  constructor() {
    this.profile = mkdtempSync(join(tmpdir(), 'dashboard-'));
    this.child = spawn('chromium', [...FLAGS, `--user-data-dir=${this.profile}`, 'about:blank'],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    [this.next, this.waiting, this.listeners, this.rest] = [1, new Map(), [], ''];
    this.child.stdio[4].on('data', (bytes) => this.read(bytes));
  }

  read(bytes) {
    const messages = (this.rest + bytes).split('\0');
    this.rest = messages.pop();
    for (const message of messages.map((text) => JSON.parse(text))) {
      const call = this.waiting.get(message.id);
      if (!call) { this.listeners.forEach((hear) => hear(message)); continue; }
      this.waiting.delete(message.id);
      message.error ? call.reject(new Error(JSON.stringify(message.error))) : call.resolve(message.result);
    }
  }

  call(method, params = {}, sessionId) {
    const id = this.next++;
    const answer = new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      setTimeout(() => reject(new Error(`${method}: no answer`)), 120_000).unref();
    });
    this.child.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
    return answer;
  }

  async page() {
    const { targetId } = await this.call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, sessionId);
    for (const domain of ['Page', 'Network', 'Runtime', 'Log', 'DOM']) await page.call(`${domain}.enable`);
    return page;
  }

  async close() {
    await this.call('Browser.close').catch(() => {});
    await new Promise((done) => { this.child.exitCode === null ? this.child.once('exit', done) : done(); });
    rmSync(this.profile, { recursive: true, force: true });
  }
}

/** A tab that keeps what was asked of the network and said on the console. */
export class Page {
  constructor(browser, session) {
    [this.browser, this.session, this.requests, this.complaints] = [browser, session, [], []];
    browser.listeners.push(({ method, params, sessionId }) => {
      if (sessionId !== session) return;
      if (method === 'Network.requestWillBeSent') this.requests.push(params.request.url);
      if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.text);
      if (method === 'Log.entryAdded') this.complaints.push(params.entry.text);
      if (method === 'Runtime.consoleAPICalled') this.complaints.push(JSON.stringify(params.args));
      if (method === 'Page.javascriptDialogOpening') this.complaints.push(`dialog: ${params.message}`);
      if (method === 'Page.loadEventFired') this.loaded?.();
    });
  }

  call(method, params) { return this.browser.call(method, params, this.session); }

  async open(url) {
    const loaded = new Promise((resolve) => { this.loaded = resolve; });
    await this.call('Page.navigate', { url });
    await loaded;
  }

  async size(width, height, scale = 1) {
    const mobile = width < 600;
    await this.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: scale, mobile });
  }

  media(media, scheme) {
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    return this.call('Emulation.setEmulatedMedia', { media, features });
  }

  async evaluate(code) {
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', { expression: code, returnByValue: true });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  /** A picture as base64, of the whole page or of its first `height` pixels. */
  async picture(clip) {
    const { data } = await this.call('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, ...(clip ? { clip } : {}) });
    return data;
  }

  async save(path, clip) { writeFileSync(path, Buffer.from(await this.picture(clip), 'base64')); }
}
