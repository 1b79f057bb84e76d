/** "us-east-1/us-east-1a/m6i.large" as lists of nodes say it: "m6i.large/us-east-1a". The zone names its region. */
export function poolName(pool: string): string {
  const [region, zone, type, ...rest] = pool.split("/");
  return region === undefined || zone?.startsWith(region) !== true || type === undefined || rest.length > 0 ? pool : `${type}/${zone}`;
}
