import { originsOf } from './settings.js';

/**
 * From now on the page can reach only its own server, the server in the settings, and that server's storage. This can
 * only narrow what index.html allows, and holds until the page is loaded again.
 */
export function narrow(settings) {
  const { api, ws } = originsOf(settings);
  const storage = storageOf(api);
  const connect = [`'self'`, api, ws, ws.replace(/^http/, 'ws'), location.origin.replace(/^http/, 'ws'), ...storage];
  const media = [`'self'`, 'blob:', api, ...storage];
  const meta = document.createElement('meta');
  meta.httpEquiv = 'Content-Security-Policy';
  meta.content = [
    `connect-src ${[...new Set(connect)].join(' ')}`,
    `img-src ${['data:', ...new Set(media)].join(' ')}`,
    `media-src ${[...new Set(media)].join(' ')}`,
  ].join('; ');
  document.head.append(meta);
}

/** Where the bucket may be: on a laptop behind the server itself, on AWS in the region that the address names. */
function storageOf(api) {
  if (api === location.origin) return [];
  if (api.startsWith('http:')) return [];
  const [, region, domain = ''] = /\.execute-api\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)$/.exec(api) ?? [];
  return region ? [`https://*.s3.${region}.${domain}`, `https://*.s3.${domain}`] : ['https://*.amazonaws.com'];
}
