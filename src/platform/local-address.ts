/** Which of this machine's addresses packets to a peer come from. Asks the kernel's routes; nothing is sent. */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';

/** The address, or null where there is no way to the peer. */
export function localAddressFor(peer: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(peer) ? 'udp6' : 'udp4');
    const end = (address: string | null): void => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => end(null));
    // Connecting a datagram socket chooses its address; 9 is the discard port.
    socket.connect(9, peer, () => end(socket.address().address));
  });
}
