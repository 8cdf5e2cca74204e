/* SPDX-License-Identifier: MIT */
/*
 * ARP (RFC 826): every address of the guest's network but its own is ours.
 *
 * The guest may ask for any of them and learns our one MAC address. Requests
 * for its own address (duplicate detection of RFC 5227, announcements) get no
 * answer: there is nobody else. Its replies tell nothing that we do not know.
 */
#include "tcpstack/priv.h"

#define ARP_LEN		  28
#define ARP_HTYPE_ETHER	  1
#define ARP_OP_REQUEST	  1
#define ARP_OP_REPLY	  2
#define ARP_OFF_SENDER_IP 14
#define ARP_OFF_TARGET	  18
#define ARP_OFF_TARGET_IP 24

static bool ours(const struct stack *st, uint32_t addr)
{
	uint32_t host_mask = stack_host_mask(st);

	if (addr == st->cfg.guest4)
		return false;
	if (addr == st->cfg.gateway4 || addr == st->cfg.dns4)
		return true;
	if ((addr ^ st->cfg.guest4) & ~host_mask)
		return false;
	/* Neither the network's own address nor its broadcast is a host. */
	return (addr & host_mask) != 0 && (addr & host_mask) != host_mask;
}

static void reply(struct stack *st, const uint8_t *asked)
{
	struct out_slot *slot = out_begin(st, ETH_HLEN + ARP_LEN);
	uint8_t *arp;

	if (!slot)
		return;
	arp = slot->data + ETH_HLEN;
	memcpy(slot->data, asked + 8, 6);
	memcpy(slot->data + 6, st->cfg.our_mac, 6);
	put_be16(slot->data + 12, ETHERTYPE_ARP);
	memcpy(arp, asked, 6);
	put_be16(arp + 6, ARP_OP_REPLY);
	memcpy(arp + 8, st->cfg.our_mac, 6);
	memcpy(arp + ARP_OFF_SENDER_IP, asked + ARP_OFF_TARGET_IP, 4);
	memcpy(arp + ARP_OFF_TARGET, asked + 8, 10);
	out_send(st, slot);
}

/**
 * arp_input() - one ARP packet from the guest
 * @l3:		where it begins in the frame
 */
void arp_input(struct stack *st, const struct tx_frame *frame, uint16_t l3)
{
	struct cursor c = { frame->head, frame->head_len };
	const uint8_t *eth = cursor_pull(&c, l3);
	const uint8_t *arp = cursor_pull(&c, ARP_LEN);
	uint32_t sender;
	uint16_t op;

	if (!eth || !arp) {
		stack_drop(st, DROP_FRAME_SHORT);
		return;
	}
	op = get_be16(arp + 6);
	/* The sender is who sent the frame, so that we answer nobody on another's behalf. */
	if (get_be16(arp) != ARP_HTYPE_ETHER || get_be16(arp + 2) != ETHERTYPE_IP4 || arp[4] != 6 ||
	    arp[5] != 4 || (op != ARP_OP_REQUEST && op != ARP_OP_REPLY) ||
	    memcmp(arp + 8, eth + 6, 6) != 0) {
		stack_drop(st, DROP_ARP_MALFORMED);
		return;
	}
	sender = get_be32(arp + ARP_OFF_SENDER_IP);
	if (sender != 0 && sender != st->cfg.guest4) {
		stack_drop(st, DROP_IP_SPOOFED);
		return;
	}
	eth_learn_mac(st, arp + 8);
	if (op == ARP_OP_REQUEST && ours(st, get_be32(arp + ARP_OFF_TARGET_IP)))
		reply(st, arp);
}
