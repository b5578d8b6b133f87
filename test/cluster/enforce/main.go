// Enforce has NetworkPolicies hold on the test cluster's node, of whose network no other part does: it
// decides on the packets that the kernel queues for it, as sigs.k8s.io/kube-network-policies does.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: enforce KUBECONFIG NODE QUEUE")
		os.Exit(2)
	}
	queue, err := strconv.Atoi(os.Args[3])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = enforce(ctx, os.Args[1], os.Args[2], queue)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// enforce decides on the packets of a queue until its context ends. The rules by which the
// controller would queue packets itself a kernel may not take; that it says, and goes on.
func enforce(ctx context.Context, kubeconfig, node string, queue int) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	all := informers.NewSharedInformerFactory(client, 0)
	policies, namespaces, pods := all.Networking().V1().NetworkPolicies(), all.Core().V1().Namespaces(), all.Core().V1().Pods()
	controller, err := networkpolicy.NewController(client, policies, namespaces, pods, nil, nil, nil, nil,
		networkpolicy.Config{NodeName: node, QueueID: queue})
	if err != nil {
		return err
	}
	all.Start(ctx.Done())
	return controller.Run(ctx)
}
