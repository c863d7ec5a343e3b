/** The reference client for pages without a build step. Exports what the package `navietakie` exports. */
export * from './navietakie/index.js';
