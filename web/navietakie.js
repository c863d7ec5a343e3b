/** The reference client, for pages that are served without a build: what the package `navietakie` exports. */
export * from './navietakie/index.js';
